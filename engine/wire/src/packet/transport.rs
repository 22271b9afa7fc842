//! TCP, UDP and ICMP headers.

use super::ip::{self, Extent};
use super::{IcmpKind, PacketError, Protocol, Quoted, Transport, read_u8, read_u16};

/// How much of the upper-layer packet follows the IP header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Completeness {
    Whole,
    FirstFragment,
}

/// Bytes of the upper-layer header that a first fragment must carry and no later one may touch.
pub(super) fn header_length(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::TCP => 20,
        _ => 8,
    }
}

pub(super) fn parse(
    protocol: Protocol,
    ipv4: bool,
    payload: &[u8],
    completeness: Completeness,
) -> Result<Transport, PacketError> {
    let known = match protocol {
        Protocol::TCP | Protocol::UDP => true,
        Protocol::ICMP => ipv4,
        Protocol::ICMPV6 => !ipv4,
        _ => false,
    };
    if !known {
        return Ok(Transport::Other);
    }
    if payload.len() < usize::from(header_length(protocol)) {
        return Err(match completeness {
            Completeness::Whole => PacketError::Truncated,
            Completeness::FirstFragment => PacketError::Fragment,
        });
    }
    match protocol {
        Protocol::TCP => parse_tcp(payload),
        Protocol::UDP => Ok(Transport::Udp {
            source: read_u16(payload, 0)?,
            destination: read_u16(payload, 2)?,
        }),
        _ => Ok(Transport::Icmp(if ipv4 {
            parse_icmp_v4(payload)?
        } else {
            parse_icmp_v6(payload)?
        })),
    }
}

fn parse_tcp(segment: &[u8]) -> Result<Transport, PacketError> {
    let header = usize::from(read_u8(segment, 12)? >> 4) * 4;
    if header < 20 || header > segment.len() {
        return Err(PacketError::Header);
    }
    let (source, destination) = (read_u16(segment, 0)?, read_u16(segment, 2)?);
    Ok(Transport::Tcp {
        source,
        destination,
        flags: read_u8(segment, 13)?,
    })
}

/// RFC 792, RFC 950, RFC 1256.
fn parse_icmp_v4(message: &[u8]) -> Result<IcmpKind, PacketError> {
    let identifier = read_u16(message, 4)?;
    Ok(match read_u8(message, 0)? {
        8 | 13 => IcmpKind::Request { identifier },
        0 | 14 => IcmpKind::Reply { identifier },
        3 | 4 | 11 | 12 => IcmpKind::Error(quoted(message, true)),
        5 => IcmpKind::Error(None),
        _ => IcmpKind::Other,
    })
}

/// RFC 4443, RFC 4861.
fn parse_icmp_v6(message: &[u8]) -> Result<IcmpKind, PacketError> {
    let identifier = read_u16(message, 4)?;
    Ok(match read_u8(message, 0)? {
        128 => IcmpKind::Request { identifier },
        129 => IcmpKind::Reply { identifier },
        1..=4 => IcmpKind::Error(quoted(message, false)),
        137 => IcmpKind::Error(None),
        _ => IcmpKind::Other,
    })
}

/// The packet quoted behind the 8 bytes of an ICMP error; both families of error quote their own family only.
fn quoted(message: &[u8], ipv4: bool) -> Option<Quoted> {
    let packet = ip::read_header(message.get(8..)?, Extent::Quotation).ok()?;
    let of_family = packet.source.is_ipv4() == ipv4;
    let has_header = packet.fragment.is_none_or(|fragment| fragment.offset == 0);
    if !of_family || !has_header {
        return None;
    }
    let (source_port, destination_port) = match packet.protocol {
        Protocol::TCP | Protocol::UDP => (read_u16(packet.payload, 0).ok()?, read_u16(packet.payload, 2).ok()?),
        Protocol::ICMP | Protocol::ICMPV6 => {
            let identifier = read_u16(packet.payload, 4).ok()?;
            (identifier, identifier)
        }
        _ => (0, 0),
    };
    Some(Quoted {
        source: packet.source,
        destination: packet.destination,
        protocol: packet.protocol,
        source_port,
        destination_port,
    })
}
