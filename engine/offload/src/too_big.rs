//! The answer to a packet that is longer than its path carries: ICMP "fragmentation needed" (RFC 792, RFC 1191 section 4) and
//! ICMPv6 "packet too big" (RFC 4443 section 3.2).

use crate::layout::{V4_HEADER, V6_HEADER, finish_v4, read, write};
use crate::{MAX_PACKET, Sum};

/// Bytes of the largest answer over IPv4 (RFC 1812 section 4.3.2.3).
const V4_ANSWER: usize = 576;
/// Bytes of the largest answer over IPv6, and what every path carries (RFC 8200 section 5).
pub(crate) const V6_LEAST: usize = 1280;
/// Header of either message.
const ICMP_HEADER: usize = 8;
const HOPS: u8 = 64;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// What is to be done with a packet, or the packets of a super-packet, on a path that is narrower than the interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is sent: it fits.
    Send,
    /// It is sent in fragments, since its sender lets it be cut ([`crate::Fragments`]).
    Cut,
    /// It is dropped, and its sender is told by this packet, whose source is its destination; empty when nobody may be told (an error
    /// about an error, RFC 1122 section 3.2.2).
    TooBig(Vec<u8>),
}

/// Judges the size of `packet`, which stands for packets of up to `largest` bytes, on a path for `limit` bytes.
#[must_use]
pub fn fit(packet: &[u8], largest: usize, limit: usize) -> Fit {
    let version = packet.first().map_or(0, |byte| byte >> 4);
    let limit = if version == 6 { limit.max(V6_LEAST) } else { limit };
    if largest <= limit {
        return Fit::Send;
    }
    match version {
        4 if packet.get(6).is_some_and(|byte| byte & 0x40 == 0) => Fit::Cut,
        4 => Fit::TooBig(too_big_v4(packet, limit).unwrap_or_default()),
        6 => Fit::TooBig(too_big_v6(packet, limit).unwrap_or_default()),
        _ => Fit::TooBig(Vec::new()),
    }
}

fn too_big_v4(packet: &[u8], limit: usize) -> Option<Vec<u8>> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let later_fragment = read(packet, 6)? & 0x1fff != 0;
    // Type 3, 4, 5, 11 and 12 are errors.
    let about_error = packet.get(9) == Some(&ICMP) && matches!(packet.get(header), Some(3 | 4 | 5 | 11 | 12));
    if later_fragment || about_error {
        return None;
    }
    let quoted = packet.get(..packet.len().min(V4_ANSWER - V4_HEADER - ICMP_HEADER))?;
    let mut answer = vec![0; V4_HEADER + ICMP_HEADER];
    answer.extend_from_slice(quoted);
    let total = answer.len();
    let (ip, message) = answer.split_at_mut_checked(V4_HEADER)?;
    *ip.first_mut()? = 0x45;
    *ip.get_mut(8)? = HOPS;
    *ip.get_mut(9)? = ICMP;
    ip.get_mut(12..16)?.copy_from_slice(packet.get(16..20)?);
    ip.get_mut(16..20)?.copy_from_slice(packet.get(12..16)?);
    finish_v4(ip, V4_HEADER, total)?;
    message.get_mut(..2)?.copy_from_slice(&[3, 4]);
    write(message, 6, u16::try_from(limit.min(MAX_PACKET)).ok()?)?;
    let checksum = Sum::default().bytes(message).checksum();
    write(message, 2, checksum)?;
    Some(answer)
}

fn too_big_v6(packet: &[u8], limit: usize) -> Option<Vec<u8>> {
    // Types below 128 are errors; an extension header before one hides it, and the answer is harmless then.
    let about_error = packet.get(6) == Some(&ICMPV6) && packet.get(V6_HEADER).is_some_and(|kind| *kind < 128);
    if about_error {
        return None;
    }
    let quoted = packet.get(..packet.len().min(V6_LEAST - V6_HEADER - ICMP_HEADER))?;
    let length = u16::try_from(ICMP_HEADER + quoted.len()).ok()?;
    let mut answer = vec![0; V6_HEADER + ICMP_HEADER];
    answer.extend_from_slice(quoted);
    let (ip, message) = answer.split_at_mut_checked(V6_HEADER)?;
    *ip.first_mut()? = 0x60;
    write(ip, 4, length)?;
    ip.get_mut(6..8)?.copy_from_slice(&[ICMPV6, HOPS]);
    ip.get_mut(8..24)?.copy_from_slice(packet.get(24..40)?);
    ip.get_mut(24..40)?.copy_from_slice(packet.get(8..24)?);
    *message.first_mut()? = 2;
    *message.get_mut(4..)?.first_chunk_mut()? = u32::try_from(limit).ok()?.to_be_bytes();
    let pseudo = Sum::default()
        .bytes(ip.get(8..40)?)
        .word(length)
        .word(u16::from(ICMPV6));
    let checksum = pseudo.bytes(message).checksum();
    write(message, 2, checksum)?;
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(dont_fragment: bool, length: usize) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 9, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        packet[6] = if dont_fragment { 0x40 } else { 0 };
        packet.resize(length, 7);
        finish_v4(&mut packet, 20, length).unwrap();
        packet
    }

    fn v6(length: usize) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 0, 17, 64];
        packet.extend([1; 16]);
        packet.extend([2; 16]);
        packet.resize(length, 7);
        packet
    }

    #[test]
    fn what_fits_is_sent_and_what_may_be_cut_is_cut() {
        assert_eq!(fit(&v4(true, 1300), 1300, 1300), Fit::Send);
        assert_eq!(fit(&v4(false, 1400), 1400, 1300), Fit::Cut);
        assert_eq!(fit(&v6(1280), 1280, 1200), Fit::Send);
    }

    #[test]
    fn the_sender_is_told_the_size_and_by_which_packet() {
        let packet = v4(true, 1400);
        let Fit::TooBig(answer) = fit(&packet, 1400, 1300) else {
            panic!("sent")
        };
        assert_eq!(answer.len(), 576);
        assert_eq!((&answer[12..16], &answer[16..20]), (&packet[16..20], &packet[12..16]));
        assert_eq!(Sum::default().bytes(&answer[..20]).fold(), 0xffff);
        assert_eq!(Sum::default().bytes(&answer[20..]).fold(), 0xffff);
        assert_eq!((answer[20], answer[21], read(&answer, 26)), (3, 4, Some(1300)));
        assert_eq!(answer[28..], packet[..548]);

        let packet = v6(1400);
        let Fit::TooBig(answer) = fit(&packet, 1400, 1000) else {
            panic!("sent")
        };
        assert_eq!(answer.len(), 1280);
        assert_eq!((&answer[8..24], &answer[24..40]), (&[2; 16][..], &[1; 16][..]));
        assert_eq!((answer[40], &answer[44..48]), (2, &1280u32.to_be_bytes()[..]));
        let sum = Sum::default().bytes(&answer[8..40]).word(1240).word(58);
        assert_eq!(sum.bytes(&answer[40..]).fold(), 0xffff);
        assert_eq!(answer[48..], packet[..1232]);
    }

    #[test]
    fn an_error_gets_no_answer() {
        let mut error = v4(true, 1400);
        (error[9], error[20]) = (1, 3);
        assert_eq!(fit(&error, 1400, 1300), Fit::TooBig(Vec::new()));
        let mut error = v6(1400);
        (error[6], error[40]) = (58, 1);
        assert_eq!(fit(&error, 1400, 1300), Fit::TooBig(Vec::new()));
        let mut later = v4(true, 1400);
        later[7] = 9;
        assert_eq!(fit(&later, 1400, 1300), Fit::TooBig(Vec::new()));
    }

    #[test]
    fn any_bytes_are_survived() {
        for length in 0..80 {
            for byte in [0, 0x4f, 0x45, 0x60, 0xff] {
                let _ = fit(&vec![byte; length], 9000, 1300);
            }
        }
    }
}
