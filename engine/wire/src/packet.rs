//! The headers of one IP packet, as far as a filter needs them.
//!
//! [`parse`] accepts any bytes: a packet is understood in full or refused. Sources: RFC 791, 792, 8200, 4443, 9293,
//! and for fragments RFC 1858, 3128 and 7112.

mod ip;
mod transport;

use std::net::IpAddr;

pub use ip::parse;

/// A transport port.
pub type Port = u16;

/// IP protocol numbers that the filter knows by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// Internet Control Message Protocol.
    pub const ICMP: Self = Self(1);
    /// Transmission Control Protocol.
    pub const TCP: Self = Self(6);
    /// User Datagram Protocol.
    pub const UDP: Self = Self(17);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);
}

/// What the filter sees of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Source address of the IP header.
    pub source: IpAddr,
    /// Destination address of the IP header, of the same family.
    pub destination: IpAddr,
    /// The upper-layer protocol, behind IPv6 extension headers.
    pub protocol: Protocol,
    /// The upper-layer header.
    pub transport: Transport,
    /// Set when the packet is a fragment of a larger one.
    pub fragment: Option<Fragment>,
    /// Bytes of the packet by its own header; what follows is padding.
    pub length: usize,
}

/// The upper-layer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp {
        /// Source port.
        source: Port,
        /// Destination port.
        destination: Port,
        /// Flag byte, see [`tcp_flags`].
        flags: u8,
    },
    /// UDP.
    Udp {
        /// Source port.
        source: Port,
        /// Destination port.
        destination: Port,
    },
    /// ICMP in an IPv4 packet or ICMPv6 in an IPv6 packet.
    Icmp(IcmpKind),
    /// Any other protocol; also ICMP in the wrong family.
    Other,
    /// A fragment past the first, which carries no header.
    Absent,
}

/// Bits of the TCP flag byte.
pub mod tcp_flags {
    /// The sender has no more data.
    pub const FIN: u8 = 0x01;
    /// Opens a connection.
    pub const SYN: u8 = 0x02;
    /// Ends a connection at once.
    pub const RST: u8 = 0x04;
    /// Acknowledges data.
    pub const ACK: u8 = 0x10;
}

/// What kind of ICMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpKind {
    /// Echo, timestamp: asks for an answer.
    Request {
        /// Tells conversations apart.
        identifier: u16,
    },
    /// Answers a request.
    Reply {
        /// That of the request.
        identifier: u16,
    },
    /// Reports an error about a packet, which it quotes. None: the quotation is not understood, or the message is a
    /// redirect, which nobody in the overlay may send.
    Error(Option<Quoted>),
    /// Anything else, neighbour discovery for example.
    Other,
}

/// The packet an ICMP error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Source of the quoted packet.
    pub source: IpAddr,
    /// Destination of the quoted packet.
    pub destination: IpAddr,
    /// Upper-layer protocol of the quoted packet.
    pub protocol: Protocol,
    /// Source port; for ICMP the identifier.
    pub source_port: Port,
    /// Destination port; for ICMP the identifier.
    pub destination_port: Port,
}

/// Where a fragment belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Identification; 16 bits in IPv4.
    pub identification: u32,
    /// Bytes from the start of the fragmentable part; 0 is the first fragment, which carries the upper-layer header.
    pub offset: u16,
}

/// Why bytes are not a packet that can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Shorter than a header or than its own length field says.
    #[error("packet is cut short")]
    Truncated,
    /// Neither IPv4 nor IPv6.
    #[error("not an IP packet")]
    Version,
    /// A header contradicts itself.
    #[error("header is inconsistent")]
    Header,
    /// More IPv6 extension headers than allowed.
    #[error("more than {MAX_EXTENSION_HEADERS} extension headers")]
    TooManyHeaders,
    /// Source routing (RFC 5095, RFC 7126).
    #[error("source routing is not allowed")]
    SourceRoute,
    /// A first fragment without the whole upper-layer header, or a later one that would overwrite it.
    #[error("fragment hides the transport header")]
    Fragment,
}

/// IPv6 extension headers of one packet.
pub const MAX_EXTENSION_HEADERS: usize = 8;

/// A big-endian 16-bit number at `offset`.
fn read_u16(bytes: &[u8], offset: usize) -> Result<u16, PacketError> {
    let pair = bytes.get(offset..).and_then(<[u8]>::first_chunk::<2>);
    Ok(u16::from_be_bytes(*pair.ok_or(PacketError::Truncated)?))
}

/// The byte at `offset`.
fn read_u8(bytes: &[u8], offset: usize) -> Result<u8, PacketError> {
    bytes.get(offset).copied().ok_or(PacketError::Truncated)
}
