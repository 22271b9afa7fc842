//! Headers of a captured frame, as far as they can be read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What was read; a field is empty when the frame does not have it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decoded<'a> {
    pub source: Option<IpAddr>,
    pub destination: Option<IpAddr>,
    pub protocol: Option<u8>,
    pub ports: Option<(u16, u16)>,
    /// Behind the innermost header that was understood.
    pub payload: &'a [u8],
}

/// Reads `frame`, which begins with its network header.
pub fn decode(ethertype: u16, frame: &[u8]) -> Decoded<'_> {
    let network = match ethertype {
        IPV4 => ipv4(frame),
        IPV6 => ipv6(frame),
        _ => None,
    };
    let Some(mut decoded) = network else {
        return Decoded {
            payload: frame,
            ..Decoded::default()
        };
    };
    let body = decoded.payload;
    let transport = match decoded.protocol {
        Some(UDP) => Some(8),
        Some(TCP) => body.get(12).map(|offset| usize::from(offset >> 4) * 4),
        _ => None,
    };
    if let Some((rest, &[s0, s1, d0, d1])) = transport.and_then(|at| Some((body.get(at..)?, body.first_chunk()?))) {
        decoded.ports = Some((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])));
        decoded.payload = rest;
    }
    decoded
}

fn ipv4(frame: &[u8]) -> Option<Decoded<'_>> {
    let header = usize::from(frame.first()? & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes(*frame.get(2..)?.first_chunk()?));
    let later_fragment = u16::from_be_bytes(*frame.get(6..)?.first_chunk()?) & 0x1fff != 0;
    Some(Decoded {
        source: Some(Ipv4Addr::from(*frame.get(12..)?.first_chunk::<4>()?).into()),
        destination: Some(Ipv4Addr::from(*frame.get(16..)?.first_chunk::<4>()?).into()),
        protocol: frame.get(9).copied().filter(|_| !later_fragment),
        ports: None,
        payload: frame.get(header..total.min(frame.len()))?,
    })
}

fn ipv6(frame: &[u8]) -> Option<Decoded<'_>> {
    let total = 40 + usize::from(u16::from_be_bytes(*frame.get(4..)?.first_chunk()?));
    Some(Decoded {
        source: Some(Ipv6Addr::from(*frame.get(8..)?.first_chunk::<16>()?).into()),
        destination: Some(Ipv6Addr::from(*frame.get(24..)?.first_chunk::<16>()?).into()),
        protocol: frame.get(6).copied(),
        ports: None,
        payload: frame.get(40..total.min(frame.len()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_udp_packet_is_read_to_its_payload_without_the_padding_of_the_link() {
        let mut frame = vec![0x45, 0, 0, 31, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        frame.extend([0x12, 0x34, 0xca, 0x6c, 0, 11, 0, 0, b'a', b'b', b'c', 0, 0, 0]);
        let decoded = decode(IPV4, &frame);
        assert_eq!(decoded.ports, Some((0x1234, 51820)));
        assert_eq!(decoded.payload, b"abc");
        assert_eq!(decoded.source, Some("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn any_bytes_are_survived() {
        for length in 0..80 {
            for byte in [0, 0x0f, 0x45, 0x60, 0xff] {
                decode(IPV4, &vec![byte; length]);
                decode(IPV6, &vec![byte; length]);
                assert_eq!(decode(0x0806, &vec![byte; length]).payload.len(), length);
            }
        }
    }
}
