//! The way in: datagrams become plain packets in place. Any thread calls it.

use crate::counters::bump;
use crate::frame::{FrameKind, HEADER_BYTES, classify, data_receiver, inner_length};
use crate::peer::{Peer, Traffic};
use crate::session::{KEEPALIVE_TIMEOUT, Session};
use crate::table::Receiver;
use crate::{Output, PeerId, Wg};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// An authentic packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Whom it came from.
    pub peer: PeerId,
    /// Where in the buffer the plain IP packet is, without padding; empty for a keepalive.
    pub plain: Range<usize>,
    /// Bytes of the datagram it came in.
    pub sealed: usize,
    /// It carried nothing.
    pub keepalive: bool,
}

/// What was found for the index of the datagram before: most come in runs.
type Found = Option<(u32, Arc<Peer>, Arc<Session>)>;

impl Wg {
    /// Opens the data messages in `buffer`: datagrams of `segment` bytes back to back (the last may be shorter), all
    /// from `from`, as `UDP_GRO` gives them. What was opened is added to `opened`; what is no data message is left
    /// alone. `outputs` gets something only when a datagram proved a new session or a new endpoint.
    pub fn open_batch(
        &self,
        now: Instant,
        from: SocketAddr,
        buffer: &mut [u8],
        segment: usize,
        opened: &mut Vec<Opened>,
        outputs: &mut Vec<Output>,
    ) {
        let mut found: Found = None;
        let mut start = 0;
        for datagram in buffer.chunks_mut(segment.max(1)) {
            let at = start;
            start += datagram.len();
            if classify(datagram) != Some(FrameKind::Data) {
                continue;
            }
            let Some((_, peer, session)) = self.find(datagram, &mut found) else {
                bump(&self.counters.rx_dropped_unknown_peer, 1);
                continue;
            };
            let Some(length) = session.open(now, datagram) else {
                bump(&self.counters.rx_dropped_auth, 1);
                continue;
            };
            self.note(now, from, peer, session, datagram.len(), length > 0, outputs);
            let text = datagram.get(HEADER_BYTES..).and_then(|text| text.get(..length));
            let Some(inner) = text.and_then(|text| if length == 0 { Some(0) } else { inner_length(text) }) else {
                bump(&self.counters.rx_dropped_malformed, 1);
                continue;
            };
            let first = at + HEADER_BYTES;
            opened.push(Opened {
                peer: peer.id,
                plain: first..first + inner,
                sealed: datagram.len(),
                keepalive: length == 0,
            });
        }
    }

    fn find<'a>(&self, datagram: &[u8], found: &'a mut Found) -> Option<&'a (u32, Arc<Peer>, Arc<Session>)> {
        let index = data_receiver(datagram)?;
        if found.as_ref().is_none_or(|(known, ..)| *known != index) {
            *found = match self.table.by_index(index)? {
                Receiver::Session(peer, session) => Some((index, peer, session)),
                Receiver::Handshake(_) => None,
            };
        }
        found.as_ref()
    }

    /// What an authentic packet means beside its content.
    #[allow(clippy::too_many_arguments, reason = "one packet's circumstances")]
    fn note(
        &self,
        now: Instant,
        from: SocketAddr,
        peer: &Arc<Peer>,
        session: &Arc<Session>,
        sealed: usize,
        data: bool,
        outputs: &mut Vec<Output>,
    ) {
        let stamp = self.stamp(now);
        peer.traffic.bytes_received.fetch_add(sealed as u64, Ordering::Relaxed);
        peer.traffic.note_received(stamp);
        self.believe(peer, now, from, outputs);
        if session.confirm() {
            self.confirmed(peer, session, now, outputs);
        }
        if data && Traffic::mark(&peer.traffic.owing, stamp) {
            let late = self.stamp(now + KEEPALIVE_TIMEOUT);
            self.timers.no_later_than(peer.id, &peer.alarm, late);
        }
        if session.is_ending(now) && !peer.traffic.renew.swap(true, Ordering::SeqCst) {
            self.timers.no_later_than(peer.id, &peer.alarm, stamp);
        }
    }
}
