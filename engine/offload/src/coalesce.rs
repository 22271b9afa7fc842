//! Packets of one flow into one super-packet, without copying their payload.

use crate::layout::{Layout, V4_HEADER, V6_HEADER, finish_v4, read, read_long, write};
use crate::{Gso, MAX_PACKET, Offload, Sum, Vnet};
use std::ops::Range;

/// Most packets of one super-packet.
pub const MAX_TRAIN: usize = 64;

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const ECE: u8 = 0x40;
const CWR: u8 = 0x80;

/// Packets that the kernel takes as one: the first whole, of the others what stands behind `skip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Train {
    /// What the kernel is told of it.
    pub vnet: Vnet,
    /// Packets of it, at least 1.
    pub count: usize,
    /// Header bytes of each packet.
    pub skip: usize,
}

impl Train {
    /// What the kernel is given after the virtio header, of the slab and the packets that the train was found in.
    pub fn pieces<'a>(&self, slab: &'a [u8], packets: &'a [Range<usize>]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let skip = self.skip;
        let piece = move |(index, range): (usize, &Range<usize>)| {
            let from = if index == 0 { range.start } else { range.start + skip };
            slab.get(from..range.end).unwrap_or_default()
        };
        packets.iter().take(self.count).enumerate().map(piece)
    }
}

/// What has to be the same for all, and what follows from one to the next.
struct Car<'a> {
    packet: &'a [u8],
    layout: Layout,
    flags: u8,
    sequence: u32,
    identification: u16,
}

/// Finds how many of `packets`, which lie in `slab`, are one super-packet from the first on, and turns the header of the first
/// into that of all. `offload` says what the interface takes. A packet that stands alone is left as it is; `packets` empty, or
/// outside the slab, gives a train of one.
///
/// The conditions are those of the kernel's own receive offload (`inet_gro_receive`, `tcp_gro_receive`, `udp_gro_receive`) and stricter in these:
/// checksums must be valid here, identifications all count up by one or, with DF, all be the same.
pub fn train(slab: &mut [u8], packets: &[Range<usize>], offload: Offload) -> Train {
    measure(slab, packets, offload)
        .as_ref()
        .filter(|found| found.count > 1)
        .and_then(|found| couple(slab, packets, found))
        .unwrap_or(Train {
            vnet: Vnet::NONE,
            count: 1,
            skip: 0,
        })
}

struct Found {
    count: usize,
    layout: Layout,
    total: usize,
    segment: usize,
    last_flags: u8,
    cwr: bool,
}

fn measure(slab: &[u8], packets: &[Range<usize>], offload: Offload) -> Option<Found> {
    let mut rest = packets.iter().take(MAX_TRAIN);
    if offload == Offload::None {
        return None;
    }
    let first = Car::of(slab.get(rest.next()?.clone())?)?;
    if !(first.layout.tcp || offload == Offload::TcpUdp) || !first.is_summed() {
        return None;
    }
    let segment = first.payload();
    let mut found = Found {
        count: 1,
        layout: first.layout,
        total: first.packet.len(),
        segment,
        last_flags: first.flags,
        cwr: first.flags & CWR != 0,
    };
    let mut still = None;
    for range in rest {
        // A PSH, a FIN or a shorter one ends it.
        let full = found.total == first.layout.payload + found.count * segment;
        if !full || found.last_flags & (FIN | PSH) != 0 {
            break;
        }
        let Some(car) = slab.get(range.clone()).and_then(Car::of) else {
            break;
        };
        let stands = first.layout.v6 || {
            let same = car.identification == first.identification;
            let counted = car.identification.wrapping_sub(first.identification);
            let fits = match still {
                None => same && first.dont_fragment() || usize::from(counted) == found.count,
                Some(true) => same,
                Some(false) => usize::from(counted) == found.count,
            };
            still.get_or_insert(same);
            fits
        };
        let payload = car.payload();
        if !stands
            || payload > segment
            || found.total + payload > MAX_PACKET
            || !car.follows(&first, found.count * segment)
            || !car.is_summed()
        {
            break;
        }
        found.count += 1;
        found.total += payload;
        found.last_flags = car.flags;
    }
    Some(found)
}

impl<'a> Car<'a> {
    /// A packet with payload that may be part of a train; `None` when it may not.
    fn of(packet: &'a [u8]) -> Option<Self> {
        let layout = Layout::of(packet)?;
        let plain_header = layout.transport == if layout.v6 { V6_HEADER } else { V4_HEADER };
        if !plain_header || layout.payload == packet.len() {
            return None;
        }
        let (flags, sequence) = if layout.tcp {
            let flags = *packet.get(layout.transport + 13)?;
            (flags, read_long(packet, layout.transport + 4)?)
        } else {
            let whole = usize::from(read(packet, layout.transport + 4)?) == packet.len() - layout.transport;
            let summed = read(packet, layout.transport + 6)? != 0;
            (whole && summed).then_some((ACK, 0))?
        };
        let allowed = flags & ACK != 0 && flags & !(ACK | PSH | FIN | ECE | CWR) == 0;
        allowed.then_some(Self {
            packet,
            layout,
            flags,
            sequence,
            identification: if layout.v6 { 0 } else { read(packet, 4)? },
        })
    }

    fn payload(&self) -> usize {
        self.packet.len() - self.layout.payload
    }

    fn dont_fragment(&self) -> bool {
        self.packet.get(6).is_some_and(|byte| byte & 0x40 != 0)
    }

    /// Checked last, since it touches every byte.
    fn is_summed(&self) -> bool {
        let transport = self.packet.get(self.layout.transport..).unwrap_or_default();
        self.layout.pseudo(self.packet, transport.len()).bytes(transport).fold() == u16::MAX
            && (self.layout.v6
                || Sum::default()
                    .bytes(self.packet.get(..V4_HEADER).unwrap_or_default())
                    .fold()
                    == u16::MAX)
    }

    /// True when this one may come `sent` payload bytes behind the first.
    fn follows(&self, first: &Self, sent: usize) -> bool {
        let same = |range: Range<usize>| self.packet.get(range.clone()) == first.packet.get(range);
        let at = self.layout.transport;
        if self.layout != first.layout {
            return false;
        }
        // Everything but length, identification and checksum of IPv4, but the length of IPv6.
        let same_ip = if self.layout.v6 {
            same(0..4) && same(6..V6_HEADER)
        } else {
            same(0..2) && same(6..10) && same(12..V4_HEADER)
        };
        if !same_ip || !same(at..at + 4) {
            return false;
        }
        if !self.layout.tcp {
            return true;
        }
        // Acknowledgement; data offset and flags apart; window; urgent pointer and options.
        let sent = u32::try_from(sent).unwrap_or(u32::MAX);
        self.sequence == first.sequence.wrapping_add(sent)
            && same(at + 8..at + 13)
            && same(at + 14..at + 16)
            && same(at + 18..self.layout.payload)
            && self.flags & CWR == 0
            && (self.flags ^ first.flags) & !(CWR | FIN | PSH) == 0
    }
}

/// Makes the header of the first packet that of all.
fn couple(slab: &mut [u8], packets: &[Range<usize>], found: &Found) -> Option<Train> {
    let layout = found.layout;
    let header = packets.first()?.start..packets.first()?.start + layout.payload;
    let head = slab.get_mut(header)?;
    let total = u16::try_from(found.total).ok()?;
    if layout.v6 {
        write(head, 4, total.checked_sub(40)?)?;
    } else {
        finish_v4(head, layout.transport, found.total)?;
    }
    let length = found.total - layout.transport;
    if layout.tcp {
        *head.get_mut(layout.transport + 13)? |= found.last_flags & (FIN | PSH);
    } else {
        write(head, layout.transport + 4, u16::try_from(length).ok()?)?;
    }
    let pseudo = layout.pseudo(head, length).fold();
    write(head, layout.transport + layout.checksum_offset(), pseudo)?;
    Some(Train {
        vnet: Vnet {
            needs_checksum: true,
            gso: match (layout.tcp, layout.v6) {
                (true, false) => Gso::Tcp4,
                (true, true) => Gso::Tcp6,
                (false, _) => Gso::Udp,
            },
            ecn: layout.tcp && found.cwr,
            header: u16::try_from(layout.payload).ok()?,
            segment: u16::try_from(found.segment).ok()?,
            checksum_start: u16::try_from(layout.transport).ok()?,
            checksum_offset: u16::try_from(layout.checksum_offset()).ok()?,
        },
        count: found.count,
        skip: layout.payload,
    })
}
