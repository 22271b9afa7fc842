//! How sessions follow one another: whitepaper, section 6.2, in the order of the Linux implementation. At most three of a
//! peer exist: the one that seals, the one before it, and one that we answered and that was not used yet.

use crate::control::{Event, Output};
use crate::counters::bump;
use crate::peer::{Peer, State, Told};
use crate::session::{REJECT_AFTER_TIME, Session};
use crate::table::Receiver;
use crate::{Wg, lock};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl Wg {
    /// The other side answered: the session seals at once.
    pub(crate) fn begin_initiated(&self, peer: &Arc<Peer>, state: &mut State, session: Session, now: Instant) {
        let session = Arc::new(session);
        let former = peer.current.swap(Some(session.clone()));
        // One that waits for its first packet is newer than the one in use.
        let previous = match state.next.take() {
            Some(next) => {
                self.end(former);
                Some(next)
            }
            None => former,
        };
        self.end(std::mem::replace(&mut state.previous, previous));
        self.table
            .redirect(session.local, Receiver::Session(peer.clone(), session.clone()));
        self.watch_expiry(peer, now);
    }

    /// We answered: the session opens, and seals once the other side has used it.
    pub(crate) fn begin_answered(&self, peer: &Arc<Peer>, state: &mut State, session: Session, now: Instant) {
        let session = Arc::new(session);
        self.table
            .redirect(session.local, Receiver::Session(peer.clone(), session.clone()));
        self.end(state.next.replace(session));
        self.end(state.previous.take());
        self.watch_expiry(peer, now);
    }

    /// The other side used a session that we answered.
    pub(crate) fn confirmed(&self, peer: &Arc<Peer>, session: &Arc<Session>, now: Instant, outputs: &mut Vec<Output>) {
        let mut state = peer.lock();
        if !state.next.as_ref().is_some_and(|next| Arc::ptr_eq(next, session)) {
            return;
        }
        let former = peer.current.swap(state.next.take());
        self.end(std::mem::replace(&mut state.previous, former));
        self.established(peer, &mut state, now, outputs);
    }

    /// A session stands and the other side has proven it: the try ends and what waited may go.
    pub(crate) fn established(&self, peer: &Peer, state: &mut State, now: Instant, outputs: &mut Vec<Output>) {
        self.drop_pending(state);
        state.attempt = None;
        peer.traffic.renew.store(false, Ordering::SeqCst);
        state.latest_handshake = Some((now, lock(&self.clock).epoch.wall_at(now)));
        bump(&self.counters.handshakes_completed, 1);
        if Told::is_due(&mut state.told.handshake, now) {
            outputs.push(Output::Event(Event::HandshakeCompleted { peer: peer.id }));
        }
        if !state.queue.is_empty() {
            outputs.push(Output::Release {
                peer: peer.id,
                packets: state.queue.take(),
            });
        }
    }

    /// After an authentic packet from `from`: that is where the peer is.
    pub(crate) fn believe(&self, peer: &Peer, now: Instant, from: SocketAddr, outputs: &mut Vec<Output>) {
        if peer.endpoint() == Some(from) {
            return;
        }
        let mut state = peer.lock();
        if !state.retired && peer.move_to(Some(from)) && Told::is_due(&mut state.told.endpoint, now) {
            outputs.push(Output::Event(Event::EndpointChanged {
                peer: peer.id,
                endpoint: from,
            }));
        }
    }

    /// Wipes what is past its time: nothing could be sealed or opened with it (section 6.1). Nothing is left then for
    /// the wipe after three times as long that section 6.3 asks for.
    pub(crate) fn expire(&self, peer: &Peer, state: &mut State, now: Instant) {
        let expired = |session: &Option<Arc<Session>>| session.as_ref().is_some_and(|session| session.is_expired(now));
        if expired(&peer.current.load()) {
            self.end(peer.current.swap(None));
        }
        for held in [&mut state.previous, &mut state.next] {
            if expired(held) {
                self.end(held.take());
            }
        }
    }

    pub(crate) fn drop_sessions(&self, peer: &Peer, state: &mut State) {
        for session in [peer.current.swap(None), state.previous.take(), state.next.take()] {
            self.end(session);
        }
    }

    pub(crate) fn drop_pending(&self, state: &mut State) {
        if let Some(pending) = state.pending.take() {
            self.table.free_index(pending.index);
        }
    }

    fn end(&self, session: Option<Arc<Session>>) {
        if let Some(session) = session {
            self.table.free_index(session.local);
        }
    }

    fn watch_expiry(&self, peer: &Peer, now: Instant) {
        let expiry = self.stamp(now + REJECT_AFTER_TIME);
        self.timers.no_later_than(peer.id, &peer.alarm, expiry);
    }
}
