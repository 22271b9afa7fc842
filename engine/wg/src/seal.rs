//! The way out: plain packets become datagrams in place. Any thread calls it.

use crate::counters::bump;
use crate::peer::{Peer, Traffic};
use crate::session::{KEEPALIVE_TIMEOUT, REKEY_TIMEOUT, Session};
use crate::{Burst, PeerId, Wg};
use std::net::SocketAddr;
use std::sync::Arc;
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
            if let Some(sealed) = usable.and_then(|session| self.seal_with(now, &peer, session, burst)) {
                return sealed;
            }
            let mut state = peer.lock();
            if state.retired {
                return unknown(burst);
            }
            // A session that came meanwhile has let go what waited, and would not look here again.
            let current = peer.current.load();
            let same = match (&*current, &*session) {
                (Some(current), Some(session)) => Arc::ptr_eq(current, session),
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

    /// The same for packets that are worth nothing later: they are sealed by the session that stands, or `None` tells that there is none.
    /// None is asked for, and nothing waits.
    pub fn seal_if_ready(&self, now: Instant, peer: PeerId, burst: &mut Burst) -> Option<SocketAddr> {
        let peer = self.table.by_id(peer)?;
        let session = peer.current.load();
        let usable = session.as_ref().filter(|session| !session.is_expired(now))?;
        match self.seal_with(now, &peer, usable, burst)? {
            Sealed::Sent { to } => Some(to),
            Sealed::Queued | Sealed::Dropped(_) => None,
        }
    }

    /// `None` when it is not known where to, or the session has no counters left.
    fn seal_with(&self, now: Instant, peer: &Arc<Peer>, session: &Session, burst: &mut Burst) -> Option<Sealed> {
        let to = peer.endpoint()?;
        let mut counter = session.take_counters(burst.len())?;
        let sealed = burst.seal(|frame| {
            session.seal(counter, frame)?;
            counter += 1;
            Some(())
        });
        if sealed.is_none() {
            bump(&self.counters.tx_dropped_no_session, burst.len() as u64);
            return Some(Sealed::Dropped(DropReason::Cipher));
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
        Some(Sealed::Sent { to })
    }
}
