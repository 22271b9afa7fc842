//! The timers of a peer (whitepaper, section 6), run when its alarm goes off. What the data path noted decides.

use crate::attempt::Step;
use crate::control::{Event, Output};
use crate::counters::bump;
use crate::frame::DATA_OVERHEAD;
use crate::noise::handshake::Pending;
use crate::noise::message::INITIATION_BYTES;
use crate::peer::{Peer, State};
use crate::session::{KEEPALIVE_TIMEOUT, REJECT_AFTER_TIME, REKEY_TIMEOUT};
use crate::table::Receiver;
use crate::timers::Stamp;
use crate::{Wg, has_session, lock};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::{Duration, Instant};

/// Tries of many peers that began in one moment are spread over this (section 6.1).
const JITTER_MILLIS: u64 = 334;

impl Wg {
    /// Runs what is due.
    pub fn poll(&self, now: Instant, outputs: &mut Vec<Output>) {
        let stamp = self.stamp(now);
        while let Some(id) = self.timers.due(stamp) {
            if let Some(peer) = self.table.by_id(id) {
                self.timers.forget(id, &peer.alarm);
                self.look_at(&peer, now, outputs);
            }
        }
    }

    /// Whom to wake when [`Wg::poll`] has to be called earlier than [`Wg::next_deadline`] said last: another thread
    /// sealed, opened or declared something. Called once until the deadline is asked for again, on that thread.
    pub fn set_waker(&self, waker: Option<Waker>) {
        self.timers.set_waker(waker);
    }

    /// When [`Wg::poll`] is to be called next; `None` while no peer has anything running. To be asked after everything
    /// else and before each sleep: what brings it forward from then on calls the waker.
    #[must_use]
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let first = self.timers.sleep()?;
        Some(now + Duration::from_nanos(first.saturating_sub(self.stamp(now))))
    }

    pub(crate) fn look_soon(&self, now: Instant, peer: &Peer) {
        self.timers.no_later_than(peer.id, &peer.alarm, self.stamp(now));
    }

    fn look_at(&self, peer: &Arc<Peer>, now: Instant, outputs: &mut Vec<Output>) {
        if let Some((from, packet)) = self.strangers.take(&peer.public_key, now) {
            self.handshake(now, from, &packet, outputs);
        }
        let mut state = peer.lock();
        if state.retired {
            return;
        }
        self.expire(peer, &mut state, now);
        let stamp = self.stamp(now);
        if unanswered(peer).is_some_and(|at| stamp >= at) {
            peer.traffic.awaiting.store(0, Ordering::SeqCst);
            peer.traffic.renew.store(true, Ordering::SeqCst);
        }
        if persistent(peer, &state).is_some_and(|at| stamp >= at) {
            if has_session(peer, now) && peer.endpoint().is_some() {
                self.keepalive(peer, now, outputs);
            } else {
                peer.traffic.sent.store(stamp, Ordering::SeqCst);
                Self::begin_attempt(&mut state, now);
            }
        }
        if owed(peer).is_some_and(|at| stamp >= at) {
            peer.traffic.owing.store(0, Ordering::SeqCst);
            self.keepalive(peer, now, outputs);
        }
        if peer.traffic.renew.load(Ordering::SeqCst) {
            Self::begin_attempt(&mut state, now);
        }
        self.drive_attempt(peer, &mut state, now, outputs);
        if let Some(at) = self.next_look(peer, &state) {
            self.timers.no_later_than(peer.id, &peer.alarm, at);
        }
    }

    fn next_look(&self, peer: &Peer, state: &State) -> Option<Stamp> {
        let expiry = |session: &crate::session::Session| self.stamp(session.created + REJECT_AFTER_TIME);
        let current = peer.current.load();
        let sessions = [state.previous.as_ref(), state.next.as_ref(), current.as_ref()];
        let attempt = state.attempt.as_ref().map(|attempt| self.stamp(attempt.deadline()));
        [attempt, unanswered(peer), owed(peer), persistent(peer, state)]
            .into_iter()
            .chain(sessions.map(|session| session.map(|session| expiry(session))))
            .flatten()
            .min()
    }

    /// An empty data message (section 6.5).
    pub(crate) fn keepalive(&self, peer: &Peer, now: Instant, outputs: &mut Vec<Output>) {
        let current = peer.current.load();
        let (Some(session), Some(to)) = (
            current.as_ref().filter(|session| !session.is_expired(now)),
            peer.endpoint(),
        ) else {
            return;
        };
        let mut bytes = vec![0; DATA_OVERHEAD];
        let sealed = session
            .take_counters(1)
            .and_then(|counter| session.seal(counter, &mut bytes));
        if sealed.is_some() {
            peer.traffic.note_sent(self.stamp(now), bytes.len());
            outputs.push(Output::Datagram { to, bytes });
        }
    }

    fn drive_attempt(&self, peer: &Arc<Peer>, state: &mut State, now: Instant, outputs: &mut Vec<Output>) {
        while let Some(step) = state.attempt.as_mut().and_then(|attempt| attempt.step(now)) {
            match step {
                Step::Send(to) => {
                    peer.traffic.sent.store(self.stamp(now), Ordering::SeqCst);
                    let bytes = state.attempt.as_ref().map(|attempt| attempt.initiation().to_vec());
                    outputs.extend(bytes.map(|bytes| Output::Datagram { to, bytes }));
                }
                Step::NewRound => self.begin_round(peer, state, now),
                Step::GiveUp => {
                    state.attempt = None;
                    self.drop_pending(state);
                    peer.traffic.renew.store(false, Ordering::SeqCst);
                    bump(&self.counters.tx_dropped_no_session, state.queue.take().len() as u64);
                    bump(&self.counters.handshakes_timed_out, 1);
                    outputs.push(Output::Event(Event::HandshakeTimedOut { peer: peer.id }));
                }
            }
        }
    }

    fn begin_round(&self, peer: &Arc<Peer>, state: &mut State, now: Instant) {
        let mut targets = targets(peer, state, now);
        let initiation = if targets.is_empty() {
            None
        } else {
            self.initiate(peer, state, now)
        };
        if initiation.is_some() {
            bump(&self.counters.handshakes_initiated, 1);
        } else {
            targets.clear();
        }
        let jitter = Duration::from_millis(lock(&self.random).next_u64() % JITTER_MILLIS);
        if let Some(attempt) = &mut state.attempt {
            let initiation = initiation.map(Vec::from).unwrap_or_default();
            attempt.begin_round(now, initiation, targets, jitter);
        }
    }

    /// A fresh initiation, whose response is waited for from now on.
    fn initiate(&self, peer: &Arc<Peer>, state: &mut State, now: Instant) -> Option<[u8; INITIATION_BYTES]> {
        self.drop_pending(state);
        let timestamp = {
            let mut clock = lock(&self.clock);
            let wall = clock.epoch.wall_at(now);
            clock.stamper.stamp(wall)
        };
        let mut random = lock(&self.random);
        let waits = Receiver::Handshake(peer.clone());
        let remote = peer.remote(&self.own)?;
        let index = self.table.new_index(waits, &mut **random)?;
        let Some((pending, initiation)) = Pending::initiate(&self.own, &remote, index, &timestamp, &mut **random)
        else {
            self.table.free_index(index);
            return None;
        };
        state.pending = Some(Box::new(pending));
        let mut bytes = initiation.encode();
        state.jar.sign(now, &peer.public_key, &mut bytes)?;
        Some(bytes)
    }
}

fn nanos(time: Duration) -> Stamp {
    u64::try_from(time.as_nanos()).unwrap_or(Stamp::MAX)
}

fn set(mark: Stamp) -> Option<Stamp> {
    (mark != 0).then_some(mark)
}

/// When data that nothing came after asks for another session (section 6.2), spread by the moment itself.
fn unanswered(peer: &Peer) -> Option<Stamp> {
    let sent = set(peer.traffic.awaiting.load(Ordering::SeqCst))?;
    let jitter = Duration::from_millis((sent >> 10) % JITTER_MILLIS);
    Some(sent.saturating_add(nanos(KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + jitter)))
}

/// When data that nothing was sent after asks for an empty message (section 6.5). An empty message itself never does.
fn owed(peer: &Peer) -> Option<Stamp> {
    set(peer.traffic.owing.load(Ordering::SeqCst)).map(|came| came.saturating_add(nanos(KEEPALIVE_TIMEOUT)))
}

/// When the path is to be kept open; up to a tenth earlier than declared, so that many peers do not fall into step. Not
/// while a session is being made.
fn persistent(peer: &Peer, state: &State) -> Option<Stamp> {
    let interval = nanos(Duration::from_secs(state.keepalive?.into()));
    if state.attempt.is_some() {
        return None;
    }
    let last = |mark: &std::sync::atomic::AtomicU64| mark.load(Ordering::SeqCst);
    let Some(passed) = set(last(&peer.traffic.sent).max(last(&peer.traffic.received))) else {
        return Some(0);
    };
    let early = (passed >> 10) % (interval / 10).max(1);
    Some(passed.saturating_add(interval - early))
}

/// The believed endpoint first. While a session stands the first round goes there alone: a renewal of keys is no reason
/// to knock elsewhere.
fn targets(peer: &Peer, state: &State, now: Instant) -> Vec<SocketAddr> {
    let endpoint = peer.endpoint();
    let first_round = state.attempt.as_ref().is_none_or(|attempt| attempt.rounds() == 0);
    if first_round && has_session(peer, now) && endpoint.is_some() {
        return endpoint.into_iter().collect();
    }
    let others = state
        .candidates
        .iter()
        .copied()
        .filter(|candidate| Some(*candidate) != endpoint);
    endpoint.into_iter().chain(others).collect()
}
