//! IPv4 and IPv6 headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::transport::{self, Completeness};
use super::{Fragment, MAX_EXTENSION_HEADERS, Meta, PacketError, Protocol, Transport, read_u8, read_u16};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// Reads the headers of one packet; `bytes` may be longer than the packet (padding).
///
/// # Errors
/// [`PacketError`] for everything that cannot be judged; such a packet is dropped.
pub fn parse(bytes: &[u8]) -> Result<Meta, PacketError> {
    let ip = read_header(bytes, Extent::Whole)?;
    if let Some(fragment) = ip.fragment
        && fragment.offset > 0
    {
        if fragment.offset < transport::header_length(ip.protocol) {
            return Err(PacketError::Fragment);
        }
        return Ok(ip.meta(Transport::Absent));
    }
    let completeness = if ip.fragment.is_some() {
        Completeness::FirstFragment
    } else {
        Completeness::Whole
    };
    let transport = transport::parse(ip.protocol, ip.source.is_ipv4(), ip.payload, completeness)?;
    Ok(ip.meta(transport))
}

/// How much of a packet must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// The beginning, as an ICMP error quotes it.
    Quotation,
}

/// The IP header and what follows its extension headers.
pub(super) struct IpHeader<'a> {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: Protocol,
    pub fragment: Option<Fragment>,
    pub payload: &'a [u8],
    length: usize,
}

impl IpHeader<'_> {
    fn meta(&self, transport: Transport) -> Meta {
        Meta {
            source: self.source,
            destination: self.destination,
            protocol: self.protocol,
            transport,
            fragment: self.fragment,
            length: self.length,
        }
    }
}

pub(super) fn read_header(bytes: &[u8], extent: Extent) -> Result<IpHeader<'_>, PacketError> {
    match read_u8(bytes, 0)? >> 4 {
        4 => read_v4(bytes, extent),
        6 => read_v6(bytes, extent),
        _ => Err(PacketError::Version),
    }
}

fn read_v4(bytes: &[u8], extent: Extent) -> Result<IpHeader<'_>, PacketError> {
    let fixed: &[u8; 20] = bytes.first_chunk().ok_or(PacketError::Truncated)?;
    let header = usize::from(fixed[0] & 0x0f) * 4;
    let length = usize::from(read_u16(fixed, 2)?);
    if header < fixed.len() || length < header {
        return Err(PacketError::Header);
    }
    let packet = cut(bytes, length, extent)?;
    check_v4_options(packet.get(fixed.len()..header).ok_or(PacketError::Truncated)?)?;

    let field = read_u16(fixed, 6)?;
    let more = field & 0x2000 != 0;
    let fragment = fragment(u32::from(read_u16(fixed, 4)?), field & 0x1fff, more)?;
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *fixed;
    Ok(IpHeader {
        source: IpAddr::V4(Ipv4Addr::new(s0, s1, s2, s3)),
        destination: IpAddr::V4(Ipv4Addr::new(d0, d1, d2, d3)),
        protocol: Protocol(fixed[9]),
        fragment,
        payload: packet.get(header..).ok_or(PacketError::Truncated)?,
        length,
    })
}

/// Refuses loose and strict source routing (RFC 791 section 3.1).
fn check_v4_options(mut options: &[u8]) -> Result<(), PacketError> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const LOOSE_SOURCE_ROUTE: u8 = 131;
    const STRICT_SOURCE_ROUTE: u8 = 137;
    while let Some((kind, rest)) = options.split_first() {
        match *kind {
            END => return Ok(()),
            NO_OPERATION => options = rest,
            LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return Err(PacketError::SourceRoute),
            _ => {
                let length = rest.first().map_or(0, |length| usize::from(*length));
                options = options
                    .get(length.max(2)..)
                    .filter(|_| length >= 2)
                    .ok_or(PacketError::Header)?;
            }
        }
    }
    Ok(())
}

fn read_v6(bytes: &[u8], extent: Extent) -> Result<IpHeader<'_>, PacketError> {
    let fixed: &[u8; 40] = bytes.first_chunk().ok_or(PacketError::Truncated)?;
    let length = fixed.len() + usize::from(read_u16(fixed, 4)?);
    let packet = cut(bytes, length, extent)?;
    let (addresses, _) = fixed
        .split_last_chunk::<32>()
        .map(|(head, tail)| (tail, head))
        .ok_or(PacketError::Truncated)?;
    let (source, destination) = addresses.split_at(16);

    let extensions = read_extensions(fixed[6], packet.get(fixed.len()..).ok_or(PacketError::Truncated)?)?;
    Ok(IpHeader {
        source: v6(source)?,
        destination: v6(destination)?,
        protocol: Protocol(extensions.protocol),
        fragment: extensions.fragment,
        payload: extensions.payload,
        length,
    })
}

struct Extensions<'a> {
    protocol: u8,
    fragment: Option<Fragment>,
    payload: &'a [u8],
}

fn read_extensions(mut next: u8, mut rest: &[u8]) -> Result<Extensions<'_>, PacketError> {
    let mut found = None;
    for index in 0..=MAX_EXTENSION_HEADERS {
        let size = match next {
            HOP_BY_HOP if index == 0 => extension_size(rest)?,
            HOP_BY_HOP => return Err(PacketError::Header),
            DESTINATION_OPTIONS => extension_size(rest)?,
            ROUTING if read_u8(rest, 2)? == 0 => return Err(PacketError::SourceRoute),
            ROUTING => extension_size(rest)?,
            FRAGMENT if found.is_some() => return Err(PacketError::Header),
            FRAGMENT => {
                let field = read_u16(rest, 2)?;
                let identification = u32::from(read_u16(rest, 4)?) << 16 | u32::from(read_u16(rest, 6)?);
                found = fragment(identification, field >> 3, field & 1 != 0)?;
                8
            }
            _ => {
                return Ok(Extensions {
                    protocol: next,
                    fragment: found,
                    payload: rest,
                });
            }
        };
        next = read_u8(rest, 0)?;
        rest = rest.get(size..).ok_or(PacketError::Truncated)?;
        if found.is_some_and(|fragment| fragment.offset > 0) {
            return Ok(Extensions {
                protocol: next,
                fragment: found,
                payload: rest,
            });
        }
    }
    Err(PacketError::TooManyHeaders)
}

/// Bytes of a hop-by-hop, routing or destination-options header.
fn extension_size(header: &[u8]) -> Result<usize, PacketError> {
    Ok((usize::from(read_u8(header, 1)?) + 1) * 8)
}

/// `units` counts 8 bytes. A packet with offset 0 and nothing to follow is whole (an atomic fragment, RFC 6946).
fn fragment(identification: u32, units: u16, more: bool) -> Result<Option<Fragment>, PacketError> {
    if units == 0 && !more {
        return Ok(None);
    }
    let offset = units.checked_mul(8).ok_or(PacketError::Header)?;
    Ok(Some(Fragment { identification, offset }))
}

fn cut(bytes: &[u8], length: usize, extent: Extent) -> Result<&[u8], PacketError> {
    match (bytes.get(..length), extent) {
        (Some(packet), _) => Ok(packet),
        (None, Extent::Quotation) => Ok(bytes),
        (None, Extent::Whole) => Err(PacketError::Truncated),
    }
}

fn v6(octets: &[u8]) -> Result<IpAddr, PacketError> {
    let octets = <[u8; 16]>::try_from(octets).map_err(|_| PacketError::Truncated)?;
    Ok(IpAddr::V6(Ipv6Addr::from(octets)))
}
