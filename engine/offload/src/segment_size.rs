//! The largest segment that a TCP connection agrees on, held below what its path carries: RFC 9293 section 3.7.1, RFC 6691.

use crate::layout::{Layout, V4_HEADER, V6_HEADER, read, write};
use crate::too_big::V6_LEAST;

const TCP_HEADER: usize = 20;
const SYN: u8 = 0x02;
/// Kinds of option: end of the list, padding, largest segment.
const END: u8 = 0;
const PADDING: u8 = 1;
const LARGEST: u8 = 2;

/// Lowers the segment size that a TCP SYN asks for to what packets of `limit` bytes hold; true when it was larger. Anything else, and
/// a checksum that was wrong, stays as it is.
pub fn clamp_segment_size(packet: &mut [u8], limit: usize) -> bool {
    is_syn(packet) && clamp(packet, limit).is_some()
}

/// A quick look before everything is understood: most packets end here.
fn is_syn(packet: &[u8]) -> bool {
    let flags = match packet.first().map_or(0, |byte| byte >> 4) {
        4 if packet.get(9) == Some(&crate::layout::TCP) => {
            packet.get(usize::from(packet.first().unwrap_or(&0) & 0x0f) * 4 + 13)
        }
        // Extension headers in front of a SYN are left to the whole look.
        6 if packet.get(6) == Some(&crate::layout::TCP) => packet.get(V6_HEADER + 13),
        6 if matches!(packet.get(6), Some(0 | 60)) => return true,
        _ => None,
    };
    flags.is_some_and(|flags| flags & SYN != 0)
}

fn clamp(packet: &mut [u8], limit: usize) -> Option<()> {
    let layout = Layout::of(packet).filter(|layout| layout.tcp)?;
    let header = packet.get(layout.transport..layout.payload)?;
    if header.get(13)? & SYN == 0 {
        return None;
    }
    let most = if layout.v6 {
        limit.max(V6_LEAST) - V6_HEADER - TCP_HEADER
    } else {
        limit.checked_sub(V4_HEADER + TCP_HEADER)?
    };
    let most = u16::try_from(most).unwrap_or(u16::MAX);
    let at = option(header)?;
    let (asked, sum) = (read(header, at)?, read(header, 16)?);
    if asked <= most {
        return None;
    }
    // RFC 1624 equation 3. A number that begins at an odd byte lies across two words of the sum, which is the same with all bytes swapped.
    let [old, new] = if at.is_multiple_of(2) {
        [asked, most]
    } else {
        [asked.swap_bytes(), most.swap_bytes()]
    };
    let folded = u32::from(!sum) + u32::from(!old) + u32::from(new);
    let folded = (folded & 0xffff) + (folded >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    write(packet, layout.transport + at, most)?;
    write(packet, layout.transport + 16, !u16::try_from(folded).ok()?)
}

/// Where the size stands in a TCP header.
fn option(header: &[u8]) -> Option<usize> {
    let mut at = TCP_HEADER;
    loop {
        match *header.get(at)? {
            END => return None,
            PADDING => at += 1,
            LARGEST => return (*header.get(at + 1)? == 4 && at + 4 <= header.len()).then_some(at + 2),
            _ => at += usize::from(*header.get(at + 1)?).max(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sum;
    use crate::layout::finish_v4;

    fn syn(v6: bool, flags: u8, options: &[u8]) -> Vec<u8> {
        let mut tcp = vec![
            0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0, flags, 0xff, 0xff, 0, 0, 0, 0,
        ];
        tcp.extend(options);
        tcp.resize(tcp.len().next_multiple_of(4), 0);
        tcp[12] = u8::try_from(tcp.len() / 4).unwrap() << 4;
        let mut packet = if v6 {
            let mut header = vec![0x60, 0, 0, 0, 0, u8::try_from(tcp.len()).unwrap(), 6, 64];
            header.extend([1; 16]);
            header.extend([2; 16]);
            header
        } else {
            vec![0x45, 0, 0, 0, 0, 9, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]
        };
        let ip = packet.len();
        packet.extend(tcp);
        if !v6 {
            let total = packet.len();
            finish_v4(&mut packet, 20, total).unwrap();
        }
        let checksum = sum(&packet).checksum();
        write(&mut packet, ip + 16, checksum).unwrap();
        assert_eq!(sum(&packet).fold(), 0xffff);
        packet
    }

    fn sum(packet: &[u8]) -> Sum {
        let layout = Layout::of(packet).unwrap();
        layout
            .pseudo(packet, packet.len() - layout.transport)
            .bytes(&packet[layout.transport..])
    }

    #[test]
    fn a_size_that_is_too_large_is_lowered_and_the_checksum_follows() {
        for (v6, limit, expected) in [
            (false, 1300, 1260u16),
            (true, 1300, 1240),
            (true, 1000, 1220),
            (false, 516, 476),
        ] {
            // At an even and at an odd byte.
            for before in [&[1u8, 1][..], &[1], &[8, 10, 1, 2, 3, 4, 5, 6, 7, 8], &[3, 3, 7]] {
                let mut packet = syn(v6, SYN, &[before, &[2, 4, 0x05, 0xb4], &[1, 3, 3, 9]].concat());
                assert!(clamp_segment_size(&mut packet, limit));
                assert_eq!(sum(&packet).fold(), 0xffff, "{v6} {before:?}");
                let layout = Layout::of(&packet).unwrap();
                let at = option(&packet[layout.transport..layout.payload]).unwrap();
                assert_eq!(read(&packet, layout.transport + at), Some(expected));
                assert!(!clamp_segment_size(&mut packet, limit), "once is enough");
            }
        }
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        let asks = [2, 4, 0x05, 0xb4];
        for packet in [
            syn(false, 0x10, &asks),
            syn(false, SYN, &[]),
            syn(false, SYN, &[2, 4, 2, 0]),
            syn(false, SYN, &[2, 3, 0xff, 0]),
            syn(true, SYN, &[0, 2, 4, 0xff]),
            syn(true, SYN, &[9, 0, 9, 0]),
        ] {
            let mut same = packet.clone();
            assert!(!clamp_segment_size(&mut same, 1300));
            assert_eq!(same, packet);
        }
        let mut wrong = syn(false, SYN, &asks);
        wrong[36] ^= 1;
        assert!(clamp_segment_size(&mut wrong, 1300));
        assert_ne!(sum(&wrong).fold(), 0xffff, "a damaged packet stays damaged");
    }

    #[test]
    fn any_bytes_are_survived() {
        for length in 0..90 {
            for byte in 0..=255 {
                for first in [0x45, 0x4f, 0x60] {
                    let mut packet = vec![byte; length];
                    packet.iter_mut().take(1).for_each(|place| *place = first);
                    clamp_segment_size(&mut packet, 1300);
                }
            }
        }
    }
}
