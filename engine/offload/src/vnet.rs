//! The header that stands before each packet (`struct virtio_net_hdr`, Virtio 1.2 section 5.1.6, of the legacy kind
//! that a TUN interface has: 10 bytes in the byte order of the machine).

/// Bytes of the header.
pub const VNET_BYTES: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;
const TCP4: u8 = 1;
const TCP6: u8 = 4;
const UDP: u8 = 5;
const ECN: u8 = 0x80;

/// What the kernel and a program take off each other's hands at an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Offload {
    /// One finished packet at a time.
    #[default]
    None,
    /// Checksums and super-packets of TCP.
    Tcp,
    /// Those of UDP too (Linux 6.2).
    TcpUdp,
}

/// What a super-packet is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gso {
    /// It is an ordinary packet.
    #[default]
    None,
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP over either.
    Udp,
}

/// What the kernel says of a packet, or is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vnet {
    /// The checksum at `checksum_start + checksum_offset` is the sum of the pseudo-header, and the rest is to be added.
    pub needs_checksum: bool,
    /// Kind of super-packet.
    pub gso: Gso,
    /// The first TCP segment has CWR set (RFC 3168 section 6.1.2), the others not.
    pub ecn: bool,
    /// Bytes of the headers; advice only when the kernel says it.
    pub header: u16,
    /// Payload bytes of each segment but the last; 0 for an ordinary packet.
    pub segment: u16,
    /// Where the sum begins.
    pub checksum_start: u16,
    /// Where the checksum stands, from there.
    pub checksum_offset: u16,
}

impl Vnet {
    /// An ordinary, finished packet.
    pub const NONE: Self = Self {
        needs_checksum: false,
        gso: Gso::None,
        ecn: false,
        header: 0,
        segment: 0,
        checksum_start: 0,
        checksum_offset: 0,
    };

    /// Reads a header; `None` for a kind of super-packet that was never asked for.
    #[must_use]
    pub fn parse(bytes: &[u8; VNET_BYTES]) -> Option<Self> {
        let [flags, kind, h0, h1, s0, s1, c0, c1, o0, o1] = *bytes;
        Some(Self {
            needs_checksum: flags & NEEDS_CHECKSUM != 0,
            gso: match kind & !ECN {
                0 => Gso::None,
                TCP4 => Gso::Tcp4,
                TCP6 => Gso::Tcp6,
                UDP => Gso::Udp,
                _ => return None,
            },
            ecn: kind & ECN != 0,
            header: u16::from_ne_bytes([h0, h1]),
            segment: u16::from_ne_bytes([s0, s1]),
            checksum_start: u16::from_ne_bytes([c0, c1]),
            checksum_offset: u16::from_ne_bytes([o0, o1]),
        })
    }

    /// The header as bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; VNET_BYTES] {
        let kind = match self.gso {
            Gso::None => 0,
            Gso::Tcp4 => TCP4,
            Gso::Tcp6 => TCP6,
            Gso::Udp => UDP,
        };
        let [h0, h1] = self.header.to_ne_bytes();
        let [s0, s1] = self.segment.to_ne_bytes();
        let [c0, c1] = self.checksum_start.to_ne_bytes();
        let [o0, o1] = self.checksum_offset.to_ne_bytes();
        let flags = if self.needs_checksum { NEEDS_CHECKSUM } else { 0 };
        let ecn = if self.ecn { ECN } else { 0 };
        [flags, kind | ecn, h0, h1, s0, s1, c0, c1, o0, o1]
    }
}
