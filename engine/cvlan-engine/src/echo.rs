//! ICMP echo of the engine itself: requests built, answers recognised (RFC 792, RFC 4443 section 4).

use cvlan_wire::{IcmpKind, Meta, Transport};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::oneshot;

/// Requests that may be waiting at one time.
const MAX_PENDING: usize = 1024;
const PAYLOAD: &[u8; 32] = b"cloudvlan ping cloudvlan ping cl";
const HOPS: u8 = 64;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// The requests that wait for an answer.
pub struct Echo {
    identifier: u16,
    pending: Mutex<HashMap<(IpAddr, u16), oneshot::Sender<Instant>>>,
}

impl Echo {
    /// Nothing waits. Requests carry `identifier`.
    #[must_use]
    pub fn new(identifier: u16) -> Self {
        Self {
            identifier,
            pending: Mutex::new(HashMap::new()),
        }
    }

    /// The packet of a request, and where the time of its answer will be told; `None` for mixed families or when too
    /// many wait. An earlier request of the same sequence to the same address is forgotten.
    pub fn request(&self, from: IpAddr, to: IpAddr, sequence: u16) -> Option<(Vec<u8>, oneshot::Receiver<Instant>)> {
        let packet = echo(EchoKind::Request, from, to, self.identifier, sequence, PAYLOAD)?;
        let (answered, answer) = oneshot::channel();
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_, waiting| !waiting.is_closed());
        if pending.len() >= MAX_PENDING {
            return None;
        }
        pending.insert((to, sequence), answered);
        Some((packet, answer))
    }

    /// Whether `packet` answers a request of ours; then it is told and goes no further.
    pub fn take_answer(&self, meta: &Meta, packet: &[u8], now: Instant) -> bool {
        let Transport::Icmp(IcmpKind::Reply { identifier }) = meta.transport else {
            return false;
        };
        if identifier != self.identifier {
            return false;
        }
        let Some(sequence) = reply_sequence(packet, meta.length) else {
            return false;
        };
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever asked may have given up meanwhile; the answer is ours all the same.
        pending
            .remove(&(meta.source, sequence))
            .map(|waiting| waiting.send(now))
            .is_some()
    }
}

/// The reply carries what the request carried, so the message is at the end and of known length.
fn reply_sequence(packet: &[u8], length: usize) -> Option<u16> {
    let message = packet.get(length.checked_sub(8 + PAYLOAD.len())?..length)?;
    let (header, payload) = message.split_first_chunk::<8>()?;
    let [_, _, _, _, _, _, high, low] = *header;
    (payload == PAYLOAD).then(|| u16::from_be_bytes([high, low]))
}

/// Which message of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EchoKind {
    /// Asks.
    Request,
    /// Answers.
    Reply,
}

/// One message as an IP packet, its payload of even length; `None` for mixed families.
pub fn echo(
    kind: EchoKind,
    from: IpAddr,
    to: IpAddr,
    identifier: u16,
    sequence: u16,
    payload: &[u8],
) -> Option<Vec<u8>> {
    let kind = match (kind, from.is_ipv4()) {
        (EchoKind::Request, true) => 8,
        (EchoKind::Reply, true) => 0,
        (EchoKind::Request, false) => 128,
        (EchoKind::Reply, false) => 129,
    };
    let [i0, i1] = identifier.to_be_bytes();
    let [s0, s1] = sequence.to_be_bytes();
    let message = |sum: u16| {
        let [c0, c1] = sum.to_be_bytes();
        let mut bytes = vec![kind, 0, c0, c1, i0, i1, s0, s1];
        bytes.extend(payload);
        bytes
    };
    let length = u16::try_from(8 + payload.len()).ok()?;
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let [l0, l1] = length.checked_add(20)?.to_be_bytes();
            let header = |sum: u16| {
                let [c0, c1] = sum.to_be_bytes();
                let mut bytes = vec![0x45, 0, l0, l1, 0, 0, 0x40, 0, HOPS, ICMP, c0, c1];
                bytes.extend(from.octets());
                bytes.extend(to.octets());
                bytes
            };
            let mut packet = header(checksum(&[&header(0)]));
            packet.extend(message(checksum(&[&message(0)])));
            Some(packet)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let [l0, l1] = length.to_be_bytes();
            let mut packet = vec![0x60, 0, 0, 0, l0, l1, ICMPV6, HOPS];
            packet.extend(from.octets());
            packet.extend(to.octets());
            let pseudo = [0, 0, l0, l1, 0, 0, 0, ICMPV6];
            packet.extend(message(checksum(&[&from.octets(), &to.octets(), &pseudo, &message(0)])));
            Some(packet)
        }
        _ => None,
    }
}

/// RFC 1071, over parts of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 = words
        .map(|word| match word {
            [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
            _ => 0,
        })
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cvlan_wire::packet::parse;

    fn reply_to(request: &[u8]) -> Vec<u8> {
        let mut reply = request.to_vec();
        let (addresses, size, kind, message) = if request[0] >> 4 == 4 {
            (12, 4, 0, 20)
        } else {
            (8, 16, 129, 40)
        };
        let (from, to) = (
            request[addresses..][..size].to_vec(),
            request[addresses + size..][..size].to_vec(),
        );
        reply[addresses..][..size].copy_from_slice(&to);
        reply[addresses + size..][..size].copy_from_slice(&from);
        reply[message] = kind;
        reply
    }

    #[test]
    fn the_answer_to_a_request_is_recognised_once() {
        for (from, to) in [("100.64.0.1", "100.64.0.2"), ("fd00::1", "fd00::2")] {
            let echo = Echo::new(77);
            let (packet, mut answer) = echo.request(from.parse().unwrap(), to.parse().unwrap(), 3).unwrap();
            let request = parse(&packet).unwrap();
            assert_eq!(request.transport, Transport::Icmp(IcmpKind::Request { identifier: 77 }));
            let reply = reply_to(&packet);
            let meta = parse(&reply).unwrap();
            assert!(
                !Echo::new(78).take_answer(&meta, &reply, Instant::now()),
                "of somebody else"
            );
            assert!(
                !echo.take_answer(&request, &packet, Instant::now()),
                "a request is no answer"
            );
            assert!(echo.take_answer(&meta, &reply, Instant::now()));
            assert!(answer.try_recv().is_ok());
            assert!(
                !echo.take_answer(&meta, &reply, Instant::now()),
                "nobody waits any more"
            );
        }
    }

    #[test]
    fn checksums_verify() {
        let request = |from: &str, to: &str| {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            echo(EchoKind::Request, from, to, 1, 2, PAYLOAD).unwrap()
        };
        let packet = request("100.64.0.1", "100.64.0.2");
        assert_eq!(checksum(&[&packet[..20]]), 0);
        assert_eq!(checksum(&[&packet[20..]]), 0);
        let packet = request("fd00::1", "fd00::2");
        assert_eq!(
            checksum(&[&packet[8..40], &[0, 0, 0, 40, 0, 0, 0, 58], &packet[40..]]),
            0
        );
    }

    #[test]
    fn mixed_families_and_too_many_requests_are_refused() {
        let echo = Echo::new(1);
        let (v4, v6) = ("100.64.0.1".parse().unwrap(), "fd00::2".parse().unwrap());
        assert!(echo.request(v4, v6, 1).is_none());
        let waiting: Vec<_> = (0..1024).map(|n| echo.request(v4, v4, n).unwrap()).collect();
        assert!(echo.request(v4, v4, 2000).is_none());
        drop(waiting);
        assert!(echo.request(v4, v4, 2000).is_some());
    }
}
