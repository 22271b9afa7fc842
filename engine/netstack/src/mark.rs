//! What stands between smoltcp 0.14 and the wire, so that both sides of a connection always hear each other.
//!
//! - After a timeout smoltcp takes SND.NXT back to what it sends again, and its acknowledgements carry that number. The other
//!   side has seen it long ago and, as RFC 9293 section 3.10.7.4 asks, drops such a segment unread: when both sides time out
//!   at once, neither ever hears the other. A segment without data carries the highest number instead.
//! - Its window is a multiple of a power of two, rounded down, so its right edge moves back and forth by less than one unit,
//!   which section 3.8.6 asks not to do: what was sent up to the former edge is cut. One unit less is told than there is.
//! - A window that closes replaces the timer of what is in flight by that of the probe, and when the window opens there is
//!   none: what was lost is never sent again. While something is in flight, a closed window is shown as one of one unit.

use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, TcpSeqNumber};

const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SendMark {
    /// One past the last byte that was sent; `None` before the first segment.
    highest: Option<TcpSeqNumber>,
    /// The window of the other side is closed, and this is where: what is sent meanwhile are probes that it does not take.
    closed: Option<TcpSeqNumber>,
}

impl SendMark {
    /// Notes what the other side says of its window. The packet as smoltcp is to see it, when that is another.
    pub fn hear(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let header = header_length(packet)?;
        let tcp = TcpPacket::new_checked(packet.get(header..)?).ok()?;
        if !tcp.ack() || tcp.syn() || tcp.rst() {
            return None;
        }
        let (acknowledged, closes) = (tcp.ack_number(), tcp.window_len() == 0);
        self.closed = closes.then_some(acknowledged);
        if !closes || self.highest.is_none_or(|highest| highest <= acknowledged) {
            return None;
        }
        let mut shown = packet.to_vec();
        let mut tcp = TcpPacket::new_checked(shown.get_mut(header..)?).ok()?;
        tcp.set_window_len(1);
        let sum = replaced(tcp.checksum(), 0, 1);
        tcp.set_checksum(sum);
        Some(shown)
    }

    /// Notes what a packet sends, and makes of it what the other side is to see.
    pub fn pass(&mut self, packet: &mut [u8]) {
        let Some(segment) = header_length(packet).and_then(|header| packet.get_mut(header..)) else {
            return;
        };
        let Ok(mut tcp) = TcpPacket::new_checked(segment) else {
            return;
        };
        let mut sum = tcp.checksum();
        if !tcp.syn() {
            let window = tcp.window_len();
            let told = window.saturating_sub(1);
            tcp.set_window_len(told);
            sum = replaced(sum, window, told);
        }
        let first = tcp.seq_number();
        let next = first + tcp.segment_len();
        match self.closed.or(self.highest) {
            Some(number) if first == next && first < number => {
                for (old, new) in halves(first).into_iter().zip(halves(number)) {
                    sum = replaced(sum, old, new);
                }
                tcp.set_seq_number(number);
            }
            _ if self.closed.is_some() || self.highest.is_some_and(|highest| next <= highest) => {}
            _ => self.highest = Some(next),
        }
        tcp.set_checksum(sum);
    }
}

/// Of a TCP packet without options or extension headers in its IP header.
fn header_length(packet: &[u8]) -> Option<usize> {
    if packet.first()? >> 4 == 4 {
        let ip = Ipv4Packet::new_checked(packet).ok()?;
        (ip.next_header() == IpProtocol::Tcp && usize::from(ip.header_len()) == V4_HEADER).then_some(V4_HEADER)
    } else {
        let ip = Ipv6Packet::new_checked(packet).ok()?;
        (ip.next_header() == IpProtocol::Tcp).then_some(V6_HEADER)
    }
}

fn halves(number: TcpSeqNumber) -> [u16; 2] {
    let [a, b, c, d] = number.0.to_be_bytes();
    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
}

/// A checksum after one of its words became another (RFC 1624, equation 3).
fn replaced(sum: u16, old: u16, new: u16) -> u16 {
    let sum = u32::from(!sum) + u32::from(!old) + u32::from(new);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or(u16::MAX)
}
