//! The way out: plain packets become datagrams in place. Any thread calls it.

use crate::counters::bump;
use crate::peer::Traffic;
use crate::session::{KEEPALIVE_TIMEOUT, REKEY_TIMEOUT};
use crate::{Burst, PeerId, Wg};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// What became of a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// Its frames are to be sent there.
    Sent {
        /// Where the peer is.
        to: SocketAddr,
    },
    /// Its packets wait for a session, which is tried for: the thread that polls was woken.
    Queued,
    /// Its packets go no further.
    Dropped(DropReason),
}

/// Why packets went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// No such peer (any more).
    UnknownPeer,
    /// The cipher refused: no more packets can be sealed for this peer now.
    Cipher,
}

impl Wg {
    /// Seals the packets of `burst` for one peer, in place. The counters of all are taken at once, and no lock is held
    /// while they are sealed.
    pub fn seal_batch(&self, now: Instant, peer: PeerId, burst: &mut Burst) -> Sealed {
        let unknown = |burst: &Burst| {
            bump(&self.counters.tx_dropped_no_session, burst.len() as u64);
            Sealed::Dropped(DropReason::UnknownPeer)
        };
        let Some(peer) = self.table.by_id(peer) else {
            return unknown(burst);
        };
        loop {
            let session = peer.current.load();
            let usable = session.as_ref().filter(|session| !session.is_expired(now));
            let ready = usable.and_then(|session| {
                let to = peer.endpoint()?;
                Some((session, to, session.take_counters(burst.len())?))
            });
            if let Some((session, to, first)) = ready {
                let mut counter = first;
                let sealed = burst.seal(|frame| {
                    session.seal(counter, frame)?;
                    counter += 1;
                    Some(())
                });
                if sealed.is_none() {
                    bump(&self.counters.tx_dropped_no_session, burst.len() as u64);
                    return Sealed::Dropped(DropReason::Cipher);
                }
                let stamp = self.stamp(now);
                peer.traffic.note_sent(stamp, burst.bytes());
                if Traffic::mark(&peer.traffic.awaiting, stamp) {
                    let late = self.stamp(now + KEEPALIVE_TIMEOUT + REKEY_TIMEOUT);
                    self.timers.no_later_than(peer.id, &peer.alarm, late);
                }
                if session.is_worn(now) && !peer.traffic.renew.swap(true, Ordering::SeqCst) {
                    self.timers.no_later_than(peer.id, &peer.alarm, stamp);
                }
                return Sealed::Sent { to };
            }
            let mut state = peer.lock();
            if state.retired {
                return unknown(burst);
            }
            // A session that came meanwhile has let go what waited, and would not look here again.
            let current = peer.current.load();
            let same = match (&*current, &*session) {
                (Some(current), Some(session)) => std::sync::Arc::ptr_eq(current, session),
                (None, None) => true,
                _ => false,
            };
            if !same {
                continue;
            }
            for packet in (0..burst.len()).filter_map(|at| burst.plain(at)) {
                bump(&self.counters.tx_dropped_queue, state.queue.push(packet));
            }
            Self::begin_attempt(&mut state, now);
            self.look_soon(now, &peer);
            return Sealed::Queued;
        }
    }
}
