//! One super-packet into the packets it stands for.

use crate::layout::{Layout, finish_v4, never_zero, read, read_long, write};
use crate::{Gso, MAX_PACKET, Sum, Vnet};

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// Why a packet of the kernel cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Longer than an IP packet may be, or empty.
    #[error("a packet of {0} bytes")]
    Length(usize),
    /// Not what the virtio header says.
    #[error("the packet is not what its header says")]
    Contradiction,
    /// Segments without payload, or a place of the checksum outside the packet.
    #[error("the virtio header is out of range")]
    Range,
}

/// A packet of the kernel, to be written out one by one.
#[derive(Clone, Copy, Debug)]
pub struct Split<'a> {
    packet: &'a [u8],
    shape: Shape,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Finished,
    /// The checksum at `at` covers everything from `start` on.
    Unsummed {
        start: usize,
        at: usize,
    },
    Super {
        layout: Layout,
        segment: usize,
        count: usize,
        /// Sum of the pseudo-header without the length.
        pseudo: Sum,
    },
}

impl<'a> Split<'a> {
    /// Looks at a packet and the header that came with it.
    ///
    /// # Errors
    /// When one contradicts the other; the packet is dropped then.
    pub fn new(vnet: &Vnet, packet: &'a [u8]) -> Result<Self, Refused> {
        if packet.is_empty() || packet.len() > MAX_PACKET {
            return Err(Refused::Length(packet.len()));
        }
        let shape = match (vnet.gso, vnet.needs_checksum) {
            (Gso::None, false) => Shape::Finished,
            (Gso::None, true) => {
                let start = usize::from(vnet.checksum_start);
                let at = start + usize::from(vnet.checksum_offset);
                if at + 2 > packet.len() {
                    return Err(Refused::Range);
                }
                Shape::Unsummed { start, at }
            }
            (kind, _) => super_packet(kind, usize::from(vnet.segment), packet)?,
        };
        Ok(Self { packet, shape })
    }

    /// The super-packet itself, whose headers hold for every packet of it.
    #[must_use]
    pub fn whole(&self) -> &'a [u8] {
        self.packet
    }

    /// How many packets it stands for, at least 1 and at most 65,535.
    #[must_use]
    pub fn count(&self) -> usize {
        match self.shape {
            Shape::Super { count, .. } => count,
            Shape::Finished | Shape::Unsummed { .. } => 1,
        }
    }

    /// Bytes of packet `index`; 0 past the last.
    #[must_use]
    pub fn len_of(&self, index: usize) -> usize {
        match self.shape {
            Shape::Super { layout, segment, .. } => self
                .payload(layout, segment, index)
                .map_or(0, |payload| layout.payload + payload.len()),
            Shape::Finished | Shape::Unsummed { .. } if index == 0 => self.packet.len(),
            Shape::Finished | Shape::Unsummed { .. } => 0,
        }
    }

    /// Writes packet `index` into `room`, which has exactly its length. `None` when it has not, or there is no such packet.
    pub fn write(&self, index: usize, room: &mut [u8]) -> Option<()> {
        match self.shape {
            Shape::Super {
                layout,
                segment,
                count,
                pseudo,
            } => {
                let payload = self.payload(layout, segment, index)?;
                let (header, body) = room.split_at_mut_checked(layout.payload)?;
                header.copy_from_slice(self.packet.get(..layout.payload)?);
                if body.len() != payload.len() {
                    return None;
                }
                body.copy_from_slice(payload);
                fix_ip(room, layout, index)?;
                if layout.tcp {
                    fix_tcp(room, layout.transport, index, index * segment, index + 1 == count)?;
                } else {
                    write(
                        room,
                        layout.transport + 4,
                        u16::try_from(room.len() - layout.transport).ok()?,
                    )?;
                }
                finish_sum(room, layout, pseudo)
            }
            Shape::Finished if index == 0 && room.len() == self.packet.len() => {
                room.copy_from_slice(self.packet);
                Some(())
            }
            Shape::Unsummed { start, at } if index == 0 && room.len() == self.packet.len() => {
                room.copy_from_slice(self.packet);
                let checksum = Sum::default().bytes(room.get(start..)?).checksum();
                write(room, at, never_zero(checksum))
            }
            Shape::Finished | Shape::Unsummed { .. } => None,
        }
    }

    fn payload(&self, layout: Layout, segment: usize, index: usize) -> Option<&'a [u8]> {
        let from = layout.payload.checked_add(index.checked_mul(segment)?)?;
        let to = from.checked_add(segment)?.min(self.packet.len());
        self.packet.get(from..to).filter(|payload| !payload.is_empty())
    }
}

fn super_packet(kind: Gso, segment: usize, packet: &[u8]) -> Result<Shape, Refused> {
    let layout = Layout::of(packet).ok_or(Refused::Contradiction)?;
    let matching = match kind {
        Gso::None => false,
        Gso::Tcp4 => layout.tcp && !layout.v6,
        Gso::Tcp6 => layout.tcp && layout.v6,
        Gso::Udp => !layout.tcp,
    };
    if !matching {
        return Err(Refused::Contradiction);
    }
    let payload = packet.len() - layout.payload;
    if segment == 0 || payload == 0 {
        return Err(Refused::Range);
    }
    Ok(Shape::Super {
        layout,
        segment,
        count: payload.div_ceil(segment),
        pseudo: layout.pseudo(packet, 0),
    })
}

/// Length, and the identification counted up as the kernel does (`inet_gso_segment`).
fn fix_ip(room: &mut [u8], layout: Layout, index: usize) -> Option<()> {
    if layout.v6 {
        return write(room, 4, u16::try_from(room.len().checked_sub(40)?).ok()?);
    }
    let step = u16::try_from(index & 0xffff).ok()?;
    let identification = read(room, 4)?.wrapping_add(step);
    write(room, 4, identification)?;
    finish_v4(room, layout.transport, room.len())
}

/// Sequence number; FIN and PSH belong to the last segment, CWR to the first (RFC 3168 section 6.1.2).
fn fix_tcp(room: &mut [u8], transport: usize, index: usize, sent: usize, last: bool) -> Option<()> {
    let sequence = read_long(room, transport + 4)?.wrapping_add(u32::try_from(sent).ok()?);
    *room.get_mut(transport + 4..)?.first_chunk_mut()? = sequence.to_be_bytes();
    let flags = room.get_mut(transport + 13)?;
    if !last {
        *flags &= !(FIN | PSH);
    }
    if index > 0 {
        *flags &= !CWR;
    }
    Some(())
}

fn finish_sum(room: &mut [u8], layout: Layout, pseudo: Sum) -> Option<()> {
    let at = layout.transport + layout.checksum_offset();
    write(room, at, 0)?;
    let transport = room.get(layout.transport..)?;
    let length = u16::try_from(transport.len()).ok()?;
    let checksum = pseudo.word(length).bytes(transport).checksum();
    write(room, at, if layout.tcp { checksum } else { never_zero(checksum) })
}
