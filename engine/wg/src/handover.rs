//! What one process hands to the next, so that sessions go on: everything that was agreed with peers, times as ages.
//!
//! A handshake that is under way is begun anew by the next process; the load of the limiter and when events were told last
//! is forgotten.

use crate::attempt::Attempt;
use crate::config::canonical;
use crate::noise::timestamp::Timestamp;
use crate::peer::{Peer, State};
use crate::session::Session;
use crate::table::Receiver;
use crate::timers::Stamp;
use crate::{Wg, lock};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use zeroize::Zeroizing;

/// One session, with its keys.
pub struct SessionState {
    /// Receiver index of what comes.
    pub local: u32,
    /// Receiver index of what goes.
    pub remote: u32,
    /// Whether this side began the handshake.
    pub initiator: bool,
    /// The other side has shown that it holds the keys.
    pub confirmed: bool,
    /// Since it was made.
    pub age: Duration,
    /// Key of what goes.
    pub send: Zeroizing<[u8; 32]>,
    /// Key of what comes.
    pub receive: Zeroizing<[u8; 32]>,
    /// The counter that is sealed with next; all before it may have been used.
    pub next: u64,
    /// One past the greatest counter that came.
    pub seen_next: u64,
    /// The ring of counters that came (RFC 6479); its first word alone while no more came.
    pub seen: Vec<u64>,
}

/// What stands between this node and one peer.
#[derive(Default)]
pub struct PeerState {
    /// Who it is.
    pub public_key: [u8; 32],
    /// Where it is believed to be.
    pub endpoint: Option<SocketAddr>,
    /// Since anything authentic was sent.
    pub sent: Option<Duration>,
    /// Since anything authentic came.
    pub received: Option<Duration>,
    /// Since data was first sent that nothing came after.
    pub awaiting: Option<Duration>,
    /// Since data first came that nothing was sent after.
    pub owing: Option<Duration>,
    /// Another session is wanted, or was being made.
    pub renew: bool,
    /// Sealed bytes of data that was authenticated.
    pub bytes_received: u64,
    /// Sealed bytes of data.
    pub bytes_sent: u64,
    /// Plain packets that wait for a session, oldest first.
    pub waiting: Vec<Vec<u8>>,
    /// The session that data is sealed with.
    pub current: Option<SessionState>,
    /// The one before it.
    pub previous: Option<SessionState>,
    /// One that this side answered and that was not used yet.
    pub next: Option<SessionState>,
    /// The cookie that the peer gave, and since when.
    pub cookie: Option<([u8; 16], Duration)>,
    /// Label of the newest initiation that was accepted, and since when: an older one must never be.
    pub newest: Option<([u8; 12], Duration)>,
    /// Since the last handshake, and when that was by the wall clock.
    pub latest_handshake: Option<(Duration, SystemTime)>,
}

/// What belongs to no peer alone.
#[derive(Default)]
pub struct CommonState {
    /// Time since 1970 in the label of the newest initiation: later ones must be greater.
    pub labelled: Duration,
    /// The secret that cookies are made from, and since when.
    pub cookie_secret: Option<(Zeroizing<[u8; 32]>, Duration)>,
}

/// Why a state was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadState {
    /// Two peers of one key, or sessions of one index.
    #[error("it names a session or a peer twice")]
    Twice,
    /// A number that cannot be.
    #[error("it holds a number that cannot be")]
    Number,
}

impl Wg {
    /// What belongs to no peer alone. Nothing may be sealed, opened or polled while a state is being told.
    #[must_use]
    pub fn tell_common(&self, now: Instant) -> CommonState {
        CommonState {
            labelled: lock(&self.clock).stamper.last(),
            cookie_secret: self.checker.tell_secret(now),
        }
    }

    /// What stands between this node and each peer that it ever dealt with.
    pub fn tell_peers(&self, now: Instant) -> impl Iterator<Item = PeerState> {
        let stamp = self.stamp(now);
        self.table
            .all()
            .into_iter()
            .filter_map(move |peer| tell(&peer, now, stamp))
    }

    /// Takes over what another process told of [`Wg::tell_common`], before anything is sealed here.
    ///
    /// # Errors
    /// [`BadState`]; the state must not be used then.
    pub fn adopt_common(&self, now: Instant, common: CommonState) -> Result<(), BadState> {
        lock(&self.clock).stamper.raise(common.labelled);
        if let Some((secret, age)) = common.cookie_secret {
            self.checker.adopt_secret(secret, before(now, age)?);
        }
        Ok(())
    }

    /// Takes over one peer; false when it is none of the declared ones. Its sessions go on with the next counters.
    ///
    /// # Errors
    /// [`BadState`]; the state must not be used then.
    pub fn adopt_peer(&self, now: Instant, told: PeerState) -> Result<bool, BadState> {
        let Some(peer) = self.table.by_key(&told.public_key) else {
            return Ok(false);
        };
        let mut state = peer.lock();
        if peer.current.load().is_some() || state.newest.is_some() {
            return Err(BadState::Twice);
        }
        if let Some(endpoint) = told.endpoint.as_ref().and_then(canonical) {
            peer.move_to(Some(endpoint));
        }
        for (mark, age) in [
            (&peer.traffic.sent, told.sent),
            (&peer.traffic.received, told.received),
            (&peer.traffic.awaiting, told.awaiting),
            (&peer.traffic.owing, told.owing),
        ] {
            if let Some(age) = age {
                mark.store(self.stamp(before(now, age)?), Ordering::SeqCst);
            }
        }
        peer.traffic.renew.store(told.renew, Ordering::SeqCst);
        peer.traffic
            .bytes_received
            .store(told.bytes_received, Ordering::Relaxed);
        peer.traffic.bytes_sent.store(told.bytes_sent, Ordering::Relaxed);
        let current = self.adopt_session(&peer, now, told.current)?;
        peer.current.store(current);
        state.previous = self.adopt_session(&peer, now, told.previous)?;
        state.next = self.adopt_session(&peer, now, told.next)?;
        if let Some((cookie, age)) = told.cookie {
            state.jar.adopt(cookie, before(now, age)?);
        }
        state.newest = match told.newest {
            Some((label, age)) => Some((Timestamp::from_bytes(label), before(now, age)?)),
            None => None,
        };
        state.latest_handshake = match told.latest_handshake {
            Some((age, wall)) => Some((before(now, age)?, wall)),
            None => None,
        };
        for packet in &told.waiting {
            state.queue.push(packet);
        }
        if told.renew || !state.queue.is_empty() {
            state.attempt = Some(Box::new(Attempt::new(now)));
        }
        drop(state);
        // The look finds out what is due, and when.
        self.timers.no_later_than(peer.id, &peer.alarm, self.stamp(now));
        Ok(true)
    }

    fn adopt_session(
        &self,
        peer: &Arc<Peer>,
        now: Instant,
        told: Option<SessionState>,
    ) -> Result<Option<Arc<Session>>, BadState> {
        let Some(told) = told else { return Ok(None) };
        let created = before(now, told.age)?;
        let session = Arc::new(Session::adopt(created, told).ok_or(BadState::Number)?);
        let receiver = Receiver::Session(peer.clone(), session.clone());
        let free = self.table.claim_index(session.local, receiver);
        if free { Ok(Some(session)) } else { Err(BadState::Twice) }
    }
}

/// `None` when there is nothing to tell.
fn tell(peer: &Peer, now: Instant, stamp: Stamp) -> Option<PeerState> {
    let mut state = peer.lock();
    let age = |mark: &AtomicU64| {
        let mark = mark.load(Ordering::SeqCst);
        (mark != 0).then(|| Duration::from_nanos(stamp.saturating_sub(mark)))
    };
    let traffic = &peer.traffic;
    let session = |session: &Option<Arc<Session>>| {
        let live = session.as_ref().filter(|session| !session.is_expired(now));
        live.map(|session| session.tell(now))
    };
    let since = |at: Instant| now.saturating_duration_since(at);
    let told = PeerState {
        public_key: peer.public_key,
        endpoint: peer.endpoint(),
        sent: age(&traffic.sent),
        received: age(&traffic.received),
        awaiting: age(&traffic.awaiting),
        owing: age(&traffic.owing),
        renew: traffic.renew.load(Ordering::SeqCst) || state.attempt.is_some(),
        bytes_received: traffic.bytes_received.load(Ordering::Relaxed),
        bytes_sent: traffic.bytes_sent.load(Ordering::Relaxed),
        current: session(&peer.current.load()),
        previous: session(&state.previous),
        next: session(&state.next),
        cookie: state.jar.tell(now),
        newest: state.newest.map(|(label, at)| (*label.bytes(), since(at))),
        latest_handshake: state.latest_handshake.map(|(at, wall)| (since(at), wall)),
        waiting: waiting(&mut state),
    };
    let dealt = told.endpoint.is_some() || told.sent.is_some() || told.newest.is_some() || told.renew;
    dealt.then_some(told)
}

/// A copy: should the other process not come up, the packets go on waiting here.
fn waiting(state: &mut State) -> Vec<Vec<u8>> {
    let packets = state.queue.take();
    for packet in &packets {
        state.queue.push(packet);
    }
    packets
}

fn before(now: Instant, age: Duration) -> Result<Instant, BadState> {
    now.checked_sub(age).ok_or(BadState::Number)
}
