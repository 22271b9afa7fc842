//! One peer: its sessions behind a mutex, what waits for a session, and where it is.

use crate::attempt::{Attempt, Step};
use crate::control::{Event, Output};
use crate::counters::{Counters, bump};
use crate::queue::Queue;
use crate::table::Own;
use crate::{MAX_CANDIDATES, PeerConfig, PeerId, usable_endpoint};
use boringtun::noise::errors::WireGuardError;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::PublicKey;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Room for any handshake message.
pub(crate) const HANDSHAKE_BYTES: usize = 256;

pub(crate) struct Peer {
    pub id: PeerId,
    pub public_key: [u8; 32],
    /// 24 bits, random; the upper part of the receiver indices of this peer's sessions.
    pub index: u32,
    pub bytes_received: AtomicU64,
    pub bytes_sent: AtomicU64,
    /// False while no timer of this peer can have anything to do.
    pub active: AtomicBool,
    state: Mutex<State>,
}

pub(crate) struct State {
    /// `None` once the peer is retired.
    pub tunn: Option<Tunn>,
    pub endpoint: Option<SocketAddr>,
    pub candidates: Vec<SocketAddr>,
    pub queue: Queue,
    pub attempt: Option<Attempt>,
    /// Own index of a session that we answered and the initiator has not used yet.
    pub unconfirmed: Option<u32>,
    pub latest_handshake: Option<Instant>,
    told: Told,
}

/// When the newest event of each kind was told.
#[derive(Default)]
struct Told {
    endpoint: Option<Instant>,
    handshake: Option<Instant>,
}

/// A peer may move, or make a session, with every packet; events of one kind are told no more often than this.
const TELL_EVERY: Duration = Duration::from_secs(1);

fn is_due(told: &mut Option<Instant>, now: Instant) -> bool {
    let due = told.is_none_or(|at| now.saturating_duration_since(at) >= TELL_EVERY);
    if due {
        *told = Some(now);
    }
    due
}

impl Peer {
    pub fn new(own: &Own<'_>, config: &PeerConfig, index: u32) -> Self {
        let tunn = Tunn::new(
            own.private.clone(),
            PublicKey::from(config.public_key),
            None,
            None,
            index,
            Some(own.limiter.clone()),
        );
        Self {
            id: config.id,
            public_key: config.public_key,
            index,
            bytes_received: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            active: AtomicBool::new(false),
            state: Mutex::new(State {
                tunn: Some(tunn),
                endpoint: None,
                candidates: usable(&config.candidates),
                queue: Queue::new(own.waiting.clone()),
                attempt: None,
                unconfirmed: None,
                latest_handshake: None,
                told: Told::default(),
            }),
        }
    }

    /// A panic while the lock was held would have left a session that still authenticates everything it opens, so
    /// going on with it is safe.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wipes the sessions and forgets what waits; whoever still holds the peer finds it dead.
    pub fn retire(&self) {
        let mut state = self.lock();
        state.tunn = None;
        state.queue.take();
        state.attempt = None;
        state.endpoint = None;
        self.active.store(false, Ordering::Relaxed);
    }

    /// Takes other candidates; a running try starts over when there is somewhere new to try.
    pub fn set_candidates(&self, now: Instant, candidates: &[SocketAddr]) {
        let candidates = usable(candidates);
        let mut state = self.lock();
        let news = candidates.iter().any(|candidate| !state.candidates.contains(candidate));
        state.candidates = candidates;
        if news && state.attempt.is_some() {
            state.attempt = Some(Attempt::new(now));
        }
    }

    /// Runs the timers of the sessions and of a running try.
    pub fn tick(&self, state: &mut State, now: Instant, counters: &Counters, outputs: &mut Vec<Output>) {
        let mut buffer = [0; HANDSHAKE_BYTES];
        let mut expired = false;
        let Some(tunn) = state.tunn.as_mut() else { return };
        match tunn.update_timers(&mut buffer) {
            TunnResult::WriteToNetwork(bytes) if bytes.first() == Some(&1) => {
                let initiation = bytes.to_vec();
                self.begin_round(state, now, initiation, counters);
            }
            TunnResult::WriteToNetwork(bytes) => {
                if let Some(to) = state.endpoint {
                    bump(&self.bytes_sent, bytes.len() as u64);
                    outputs.push(Output::Datagram {
                        to,
                        bytes: bytes.to_vec(),
                    });
                }
            }
            TunnResult::Err(WireGuardError::ConnectionExpired) => expired = true,
            TunnResult::Done | TunnResult::Err(_) => {}
            TunnResult::WriteToTunnelV4(..) | TunnResult::WriteToTunnelV6(..) => {}
        }
        self.drive_attempt(state, now, counters, outputs);
        let busy = state.attempt.is_some() || !state.queue.is_empty() || state.has_session();
        self.active.store(busy || !expired, Ordering::Relaxed);
    }

    fn drive_attempt(&self, state: &mut State, now: Instant, counters: &Counters, outputs: &mut Vec<Output>) {
        while let Some(step) = state.attempt.as_mut().and_then(|attempt| attempt.step(now)) {
            match step {
                Step::Send(to) => {
                    let bytes = state.attempt.as_ref().map(|attempt| attempt.initiation().to_vec());
                    outputs.extend(bytes.map(|bytes| Output::Datagram { to, bytes }));
                }
                Step::NewRound => {
                    let initiation = self.initiation(state);
                    self.begin_round(state, now, initiation, counters);
                }
                Step::GiveUp => {
                    state.attempt = None;
                    bump(&counters.tx_dropped_no_session, state.queue.take().len() as u64);
                    bump(&counters.handshakes_timed_out, 1);
                    outputs.push(Output::Event(Event::HandshakeTimedOut { peer: self.id }));
                }
            }
        }
    }

    /// A fresh initiation; empty while there is nowhere to send one.
    fn initiation(&self, state: &mut State) -> Vec<u8> {
        if state.targets().is_empty() {
            return Vec::new();
        }
        let mut buffer = [0; HANDSHAKE_BYTES];
        match state
            .tunn
            .as_mut()
            .map(|tunn| tunn.format_handshake_initiation(&mut buffer, true))
        {
            Some(TunnResult::WriteToNetwork(bytes)) => bytes.to_vec(),
            _ => Vec::new(),
        }
    }

    fn begin_round(&self, state: &mut State, now: Instant, initiation: Vec<u8>, counters: &Counters) {
        let targets = if initiation.is_empty() {
            Vec::new()
        } else {
            state.targets()
        };
        if !targets.is_empty() {
            bump(&counters.handshakes_initiated, 1);
        }
        let attempt = state.attempt.get_or_insert_with(|| Attempt::new(now));
        let spread = self
            .index
            .wrapping_mul(2_654_435_761)
            .wrapping_add(attempt.rounds().wrapping_mul(97));
        let jitter = Duration::from_millis(u64::from(spread % 334));
        attempt.begin_round(now, initiation, targets, jitter);
    }

    /// After an authentic packet from `from`: that is where the peer is.
    pub fn believe(&self, state: &mut State, now: Instant, from: SocketAddr, outputs: &mut Vec<Output>) {
        if state.endpoint == Some(from) {
            return;
        }
        state.endpoint = Some(from);
        if is_due(&mut state.told.endpoint, now) {
            outputs.push(Output::Event(Event::EndpointChanged {
                peer: self.id,
                endpoint: from,
            }));
        }
    }

    /// A session stands and the other side has proven it: the try ends and what waited may go.
    pub fn established(&self, state: &mut State, now: Instant, counters: &Counters, outputs: &mut Vec<Output>) {
        state.unconfirmed = None;
        state.attempt = None;
        state.latest_handshake = Some(now);
        bump(&counters.handshakes_completed, 1);
        if is_due(&mut state.told.handshake, now) {
            outputs.push(Output::Event(Event::HandshakeCompleted { peer: self.id }));
        }
        if !state.queue.is_empty() {
            outputs.push(Output::Release {
                peer: self.id,
                packets: state.queue.take(),
            });
        }
    }

    /// Keeps a packet until there is a session, and sees to it that one is tried for.
    pub fn enqueue(&self, state: &mut State, now: Instant, packet: &[u8], counters: &Counters) {
        bump(&counters.tx_dropped_queue, state.queue.push(packet));
        state.attempt.get_or_insert_with(|| Attempt::new(now));
        self.active.store(true, Ordering::Relaxed);
    }
}

impl State {
    /// Whether data can be sealed for the peer.
    pub fn has_session(&self) -> bool {
        self.tunn
            .as_ref()
            .is_some_and(|tunn| tunn.time_since_last_handshake().is_some())
    }

    /// The believed endpoint first. While a session stands the first round goes there alone: a renewal of keys is no
    /// reason to knock elsewhere.
    fn targets(&self) -> Vec<SocketAddr> {
        let first_round = self.attempt.as_ref().is_none_or(|attempt| attempt.rounds() == 0);
        let mut targets: Vec<SocketAddr> = self.endpoint.into_iter().collect();
        if !targets.is_empty() && first_round && self.has_session() {
            return targets;
        }
        targets.extend(
            self.candidates
                .iter()
                .filter(|candidate| Some(**candidate) != self.endpoint),
        );
        targets
    }
}

fn usable(candidates: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut kept: Vec<SocketAddr> = Vec::new();
    for candidate in candidates.iter().filter(|candidate| usable_endpoint(candidate)) {
        let candidate = SocketAddr::new(candidate.ip().to_canonical(), candidate.port());
        if kept.len() < MAX_CANDIDATES && !kept.contains(&candidate) {
            kept.push(candidate);
        }
    }
    kept
}
