//! Packets built and judged word by word, without the code under test.
#![allow(dead_code, reason = "each test uses its part")]

use cvlan_offload::{Gso, Vnet};

pub const FIN: u8 = 0x01;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;
pub const ECE: u8 = 0x40;
pub const CWR: u8 = 0x80;

/// RFC 1071, section 4.1.
pub fn naive(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        sum = (sum >> 16) + (sum & 0xffff);
    }
    u16::try_from(sum).unwrap()
}

#[derive(Clone, Debug)]
pub struct Flow {
    pub v6: bool,
    pub tcp: bool,
    pub class: u8,
    pub ttl: u8,
    pub dont_fragment: bool,
    pub identification: u16,
    pub sequence: u32,
    pub acknowledged: u32,
    pub flags: u8,
    pub window: u16,
    pub options: Vec<u8>,
}

impl Flow {
    pub fn header(&self) -> usize {
        let transport = if self.tcp { 20 + self.options.len() } else { 8 };
        if self.v6 { 40 + transport } else { 20 + transport }
    }

    fn transport(&self) -> usize {
        if self.v6 { 40 } else { 20 }
    }

    fn pseudo(&self, packet: &[u8]) -> Vec<u8> {
        let length = u16::try_from(packet.len() - self.transport()).unwrap();
        let addresses = if self.v6 { &packet[8..40] } else { &packet[12..20] };
        let protocol = u16::from(if self.tcp { 6u8 } else { 17 });
        [addresses, &length.to_be_bytes(), &protocol.to_be_bytes()].concat()
    }

    /// A packet whose transport checksum is only the sum of the pseudo-header, as the kernel gives it.
    pub fn unsummed(&self, payload: &[u8]) -> Vec<u8> {
        let length = self.header() + payload.len();
        let mut packet = Vec::with_capacity(length);
        let protocol = if self.tcp { 6 } else { 17 };
        if self.v6 {
            packet.extend([0x60 | self.class >> 4, self.class << 4, 0x12, 0x34]);
            packet.extend(u16::try_from(length - 40).unwrap().to_be_bytes());
            packet.extend([protocol, self.ttl]);
            for last in [1, 2] {
                packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
            }
        } else {
            packet.extend([0x45, self.class]);
            packet.extend(u16::try_from(length).unwrap().to_be_bytes());
            packet.extend(self.identification.to_be_bytes());
            packet.extend([if self.dont_fragment { 0x40 } else { 0 }, 0, self.ttl, protocol, 0, 0]);
            packet.extend([100, 64, 0, 1, 100, 64, 0, 2]);
            let sum = !naive(&packet);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        packet.extend([0x30, 0x39, 0x14, 0x51]);
        if self.tcp {
            packet.extend(self.sequence.to_be_bytes());
            packet.extend(self.acknowledged.to_be_bytes());
            let words = u8::try_from(5 + self.options.len() / 4).unwrap();
            packet.extend([words << 4, self.flags]);
            packet.extend(self.window.to_be_bytes());
            packet.extend([0, 0, 0, 0]);
            packet.extend(&self.options);
        } else {
            packet.extend(u16::try_from(8 + payload.len()).unwrap().to_be_bytes());
            packet.extend([0, 0]);
        }
        packet.extend(payload);
        let pseudo = naive(&self.pseudo(&packet));
        let at = self.checksum_at();
        packet[at..at + 2].copy_from_slice(&pseudo.to_be_bytes());
        packet
    }

    pub fn checksum_at(&self) -> usize {
        self.transport() + if self.tcp { 16 } else { 6 }
    }

    /// A finished packet.
    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let mut packet = self.unsummed(payload);
        let mut sum = !naive(&packet[self.transport()..]);
        if !self.tcp && sum == 0 {
            sum = 0xffff;
        }
        let at = self.checksum_at();
        packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    pub fn vnet(&self, segment: u16) -> Vnet {
        Vnet {
            needs_checksum: true,
            gso: match (self.tcp, self.v6) {
                (true, false) => Gso::Tcp4,
                (true, true) => Gso::Tcp6,
                (false, _) => Gso::Udp,
            },
            ecn: self.tcp && self.flags & CWR != 0,
            header: u16::try_from(self.header()).unwrap(),
            segment,
            checksum_start: u16::try_from(self.transport()).unwrap(),
            checksum_offset: if self.tcp { 16 } else { 6 },
        }
    }

    /// The packets that this flow sends for the payload, as a host without offload would.
    pub fn cut(&self, payload: &[u8], segment: usize) -> Vec<Vec<u8>> {
        let count = payload.len().div_ceil(segment);
        let piece = |(index, piece): (usize, &[u8])| {
            let mut flow = self.clone();
            flow.identification = flow.identification.wrapping_add(u16::try_from(index).unwrap());
            flow.sequence = flow.sequence.wrapping_add(u32::try_from(index * segment).unwrap());
            if index > 0 {
                flow.flags &= !CWR;
            }
            if index + 1 < count {
                flow.flags &= !(FIN | PSH);
            }
            flow.packet(piece)
        };
        payload.chunks(segment).enumerate().map(piece).collect()
    }
}
