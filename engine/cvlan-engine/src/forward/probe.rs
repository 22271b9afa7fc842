//! The packet that asks whether a size is carried, and its answer: an ICMP echo between the two nodes, so that also an engine that knows nothing of
//! probes may have its host answer. What makes it as large as it is to be is padding of WireGuard, which is dropped with the tunnel.

use crate::echo::{EchoKind, echo};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const MARK: &[u8; 24] = b"cloudvlan path mtu probe";
const PAYLOAD: usize = 32;
const V4: usize = 20 + 8 + PAYLOAD;
const V6: usize = 40 + 8 + PAYLOAD;

/// A probe or its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbePacket {
    /// Which of the two.
    pub kind: EchoKind,
    /// Its number.
    pub id: u32,
    /// Overlay addresses, of one family.
    pub from: IpAddr,
    /// The other.
    pub to: IpAddr,
}

impl ProbePacket {
    /// Understands a packet out of a tunnel; `None` for every other one.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let (v4, message) = match packet.len() {
            V4 if packet.starts_with(&[0x45]) && packet.get(9) == Some(&1) => (true, packet.get(20..)?),
            V6 if packet.first()? >> 4 == 6 && packet.get(6) == Some(&58) => (false, packet.get(40..)?),
            _ => return None,
        };
        let (header, payload) = message.split_first_chunk::<8>()?;
        let kind = match (v4, header[0], header[1]) {
            (true, 8, 0) | (false, 128, 0) => EchoKind::Request,
            (true, 0, 0) | (false, 129, 0) => EchoKind::Reply,
            _ => return None,
        };
        let id = payload.strip_prefix(MARK)?.first_chunk::<4>()?;
        let (from, to) = if v4 {
            let address = |at: usize| Some(Ipv4Addr::from(*packet.get(at..)?.first_chunk::<4>()?));
            (address(12)?.into(), address(16)?.into())
        } else {
            let address = |at: usize| Some(Ipv6Addr::from(*packet.get(at..)?.first_chunk::<16>()?));
            (address(8)?.into(), address(24)?.into())
        };
        Some(Self {
            kind,
            id: u32::from_be_bytes(*id),
            from,
            to,
        })
    }

    /// As an IP packet; `None` for mixed families.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut payload = [0; PAYLOAD];
        let (mark, rest) = payload.split_first_chunk_mut()?;
        *mark = *MARK;
        *rest.first_chunk_mut()? = self.id.to_be_bytes();
        let [_, _, high, low] = self.id.to_be_bytes();
        echo(
            self.kind,
            self.from,
            self.to,
            0,
            u16::from_be_bytes([high, low]),
            &payload,
        )
    }

    /// What is sent back.
    pub fn answer(&self) -> Self {
        Self {
            kind: EchoKind::Reply,
            from: self.to,
            to: self.from,
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cvlan_wire::packet::parse;
    use cvlan_wire::{IcmpKind, Transport};

    #[test]
    fn a_probe_is_a_ping_that_any_host_answers_so_that_it_is_recognised() {
        for (from, to) in [("100.64.0.1", "100.64.0.2"), ("fd00::1", "fd00::2")] {
            let probe = ProbePacket {
                kind: EchoKind::Request,
                id: 0x0102_0304,
                from: from.parse().unwrap(),
                to: to.parse().unwrap(),
            };
            let packet = probe.encode().unwrap();
            let meta = parse(&packet).unwrap();
            assert_eq!(meta.transport, Transport::Icmp(IcmpKind::Request { identifier: 0 }));
            assert_eq!(ProbePacket::parse(&packet), Some(probe));
            let answer = probe.answer();
            let packet = answer.encode().unwrap();
            assert_eq!(ProbePacket::parse(&packet), Some(answer));
            assert_eq!((answer.from, answer.to, answer.id), (probe.to, probe.from, probe.id));
            for cut in 0..packet.len() {
                assert_eq!(ProbePacket::parse(&packet[..cut]), None);
            }
            let mut other = packet.clone();
            *other.last_mut().unwrap() = 1;
            assert!(
                ProbePacket::parse(&other).is_some(),
                "what is behind the number is for later"
            );
            other[packet.len() - 20] ^= 1;
            assert_eq!(ProbePacket::parse(&other), None, "somebody's own ping");
        }
    }
}
