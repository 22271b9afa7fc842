//! Explicit congestion notification of tunnels (RFC 6040).

use crate::layout::{V4_HEADER, V6_HEADER, finish_v4};

/// The two ECN bits of an IP header (RFC 3168 section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ecn {
    /// The transport does not speak ECN.
    #[default]
    NotCapable,
    /// ECT(1).
    Capable1,
    /// ECT(0).
    Capable0,
    /// The packet met congestion.
    Congested,
}

impl Ecn {
    /// The low bits of the type of service or traffic class.
    #[must_use]
    pub fn of_class(class: u8) -> Self {
        match class & 3 {
            0 => Self::NotCapable,
            1 => Self::Capable1,
            2 => Self::Capable0,
            _ => Self::Congested,
        }
    }

    /// The bits.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Self::NotCapable => 0,
            Self::Capable1 => 1,
            Self::Capable0 => 2,
            Self::Congested => 3,
        }
    }

    /// Of a packet; what is no IP packet is not capable. A tunnel copies this to its outer header (normal mode, section 4.1).
    #[must_use]
    pub fn of_packet(packet: &[u8]) -> Self {
        match packet.first_chunk() {
            Some([first, second]) if first >> 4 == 4 => Self::of_class(*second),
            Some([first, second]) if first >> 4 == 6 => Self::of_class((first << 4) | (second >> 4)),
            _ => Self::NotCapable,
        }
    }

    /// Carries what the outer header of an opened packet says over to it (section 4.2). False when the packet must be dropped: it met
    /// congestion and its transport would not hear of it.
    #[must_use]
    pub fn arrive(self, packet: &mut [u8]) -> bool {
        let inner = Self::of_packet(packet);
        match (self, inner) {
            (Self::Congested, Self::NotCapable) => false,
            (Self::Congested, Self::Capable0 | Self::Capable1) | (Self::Capable1, Self::Capable0) => {
                self.mark(packet).is_some()
            }
            _ => true,
        }
    }

    fn mark(self, packet: &mut [u8]) -> Option<()> {
        let total = packet.len();
        if packet.first()? >> 4 == 6 {
            packet.get(..V6_HEADER)?;
            let second = packet.get_mut(1)?;
            *second = (*second & !0x30) | (self.bits() << 4);
            return Some(());
        }
        let header = usize::from(packet.first()? & 0x0f) * 4;
        if header < V4_HEADER || header > total {
            return None;
        }
        let class = packet.get_mut(1)?;
        *class = (*class & !3) | self.bits();
        let length = usize::from(crate::layout::read(packet, 2)?);
        finish_v4(packet, header, length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sum;

    fn v4(class: u8) -> Vec<u8> {
        let mut packet = vec![0x45, class, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        finish_v4(&mut packet, 20, 20).unwrap();
        packet
    }

    fn v6(class: u8) -> Vec<u8> {
        let mut packet = vec![0; 40];
        (packet[0], packet[1]) = (0x60 | class >> 4, class << 4 | 0x0a);
        packet
    }

    /// RFC 6040 figure 4, with rows by inner and columns by outer: not capable, ECT(0), ECT(1), congested; `None` is dropped.
    #[test]
    fn the_table_of_the_rfc() {
        use Ecn::{Capable0, Capable1, Congested, NotCapable};
        let outer = [NotCapable, Capable0, Capable1, Congested];
        let table = [
            (NotCapable, [Some(NotCapable), Some(NotCapable), Some(NotCapable), None]),
            (
                Capable0,
                [Some(Capable0), Some(Capable0), Some(Capable1), Some(Congested)],
            ),
            (
                Capable1,
                [Some(Capable1), Some(Capable1), Some(Capable1), Some(Congested)],
            ),
            (Congested, [Some(Congested); 4]),
        ];
        for (inner, row) in table {
            for (outer, expected) in outer.into_iter().zip(row) {
                for mut packet in [v4(0xb8 | inner.bits()), v6(0xb8 | inner.bits())] {
                    let stays = outer.arrive(&mut packet);
                    assert_eq!(
                        stays.then(|| Ecn::of_packet(&packet)),
                        expected,
                        "{inner:?} in {outer:?}"
                    );
                    if packet.len() == 20 {
                        assert_eq!(packet[1] & !3, 0xb8);
                        assert_eq!(Sum::default().bytes(&packet).fold(), 0xffff);
                    } else {
                        assert_eq!((packet[0], packet[1] & 0xcf), (0x6b, 0x8a));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_packet_is_left_alone() {
        for bytes in [&mut [][..], &mut [0x45], &mut [0x4f, 2, 0, 0], &mut [0x60, 0x20]] {
            let before = bytes.to_vec();
            let kept = Ecn::Congested.arrive(bytes);
            assert!(!kept);
            assert_eq!(bytes, before);
        }
    }
}
