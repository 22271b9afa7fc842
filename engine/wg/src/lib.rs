//! WireGuard as one engine speaks it, sans-IO: packets and time go in, packets and deadlines come out. Sources: the
//! whitepaper (<https://www.wireguard.com/papers/wireguard.pdf>), whose sections are cited, and the protocol page.
//!
//! [`Wg`] holds the static key and the peers. The data path calls [`Wg::seal_batch`] and [`Wg::open_batch`] from any
//! thread; one control thread calls [`Wg::handshake`] and [`Wg::poll`]. A key that is no peer is never answered.
//!
//! No lock is held while data is sealed or opened: a session is immutable but for its counter, which is taken in ranges,
//! and its window, which is looked at after the packet proved authentic. No clock is read and no randomness taken but
//! what the caller gave.

mod attempt;
mod burst;
mod config;
mod control;
mod cookie;
mod counters;
mod declare;
mod frame;
mod handover;
mod limiter;
mod noise;
mod open;
mod peer;
mod queue;
mod seal;
mod session;
mod strangers;
mod table;
mod tick;
mod timers;
mod transition;
mod window;

pub use burst::{BURST_BYTES, BURST_FRAMES, Burst};
pub use config::{PeerConfig, PeerId, PresharedKey, Refused, StaticKey, usable_endpoint};
pub use control::{Event, Output};
pub use counters::{Counters, PeerStats};
pub use frame::{DATA_OVERHEAD, FrameKind, classify};
pub use handover::{BadState, CommonState, PeerState, SessionState};
pub use limiter::Load;
pub use noise::timestamp::Epoch;
pub use open::Opened;
pub use seal::{DropReason, Sealed};

use attempt::Attempt;
use cookie::Checker;
use limiter::Limiter;
use noise::handshake::Own;
use noise::timestamp::Stamper;
use peer::{Peer, State};
use queue::Budget;
use rand_core::{CryptoRng, CryptoRngCore, OsRng, RngCore};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use strangers::Strangers;
use table::Table;
use timers::{Stamp, Timers};

/// Packets that wait for a session of one peer; the oldest goes first.
pub const QUEUE_PACKETS: usize = 64;
/// Bytes that wait for sessions of all peers together.
pub const QUEUE_BYTES: usize = 8 << 20;
/// What another process noted so long before this one began is still told apart.
const RECALL: Duration = Duration::from_secs(24 * 3600);
/// Candidate endpoints kept of one peer.
pub const MAX_CANDIDATES: usize = 16;

type Random = Box<dyn CryptoRngCore + Send>;

/// The WireGuard state of one engine.
pub struct Wg {
    own: Own,
    checker: Checker,
    limiter: Limiter,
    strangers: Strangers,
    waiting: Budget,
    table: Table,
    timers: Timers,
    clock: Mutex<Clock>,
    random: Mutex<Random>,
    /// What [`Stamp`]s count from.
    start: Instant,
    /// Held while peers are declared, so that two declarations do not mix.
    declaring: Mutex<()>,
    counters: Counters,
}

/// The wall clock, and the labels made from it.
struct Clock {
    epoch: Epoch,
    stamper: Stamper,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wg {
    /// A state without peers.
    #[must_use]
    pub fn new(key: &StaticKey, epoch: Epoch) -> Self {
        Self::with_random(key, epoch, OsRng)
    }

    /// The same with another source of randomness: everything random comes from it.
    #[must_use]
    pub fn with_random(key: &StaticKey, epoch: Epoch, random: impl RngCore + CryptoRng + Send + 'static) -> Self {
        let own = Own::new(key.bytes());
        let mut random: Random = Box::new(random);
        let seed = [random.next_u64(), random.next_u64()];
        Self {
            checker: Checker::new(own.public()),
            limiter: Limiter::new(epoch.instant, seed),
            own,
            strangers: Strangers::default(),
            waiting: Budget::default(),
            table: Table::default(),
            timers: Timers::default(),
            clock: Mutex::new(Clock {
                epoch,
                stamper: Stamper::default(),
            }),
            random: Mutex::new(random),
            start: epoch.instant.checked_sub(RECALL).unwrap_or(epoch.instant),
            declaring: Mutex::default(),
            counters: Counters::default(),
        }
    }

    /// Tells what the wall clock says now. It may be stepped at any time: initiations are labelled by it, each greater
    /// than the one before whatever it does (whitepaper, section 5.1).
    pub fn set_clock(&self, epoch: Epoch) {
        lock(&self.clock).epoch = epoch;
    }

    /// Tells what handshakes cost, and how many wait; once a turn of the thread that works them off. Without it nobody
    /// is ever asked for a cookie.
    pub fn report_load(&self, now: Instant, load: Load) {
        self.limiter.report(now, load);
    }

    /// The public half of the static key.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        *self.own.public()
    }

    /// Counts since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes that wait for a session, of all peers.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.waiting.used()
    }

    /// What one peer did so far; `None` when there is no such peer.
    #[must_use]
    pub fn stats(&self, peer: PeerId, now: Instant) -> Option<PeerStats> {
        self.table.by_id(peer).map(|peer| Self::stats_of(&peer, now))
    }

    /// All peers with their public keys, in the order of their handles.
    #[must_use]
    pub fn peers(&self, now: Instant) -> Vec<(PeerId, [u8; 32], PeerStats)> {
        let mut peers = self.table.all();
        peers.sort_unstable_by_key(|peer| peer.id);
        let describe = |peer: &Arc<Peer>| (peer.id, peer.public_key, Self::stats_of(peer, now));
        peers.iter().map(describe).collect()
    }

    fn stats_of(peer: &Peer, now: Instant) -> PeerStats {
        let state = peer.lock();
        PeerStats {
            endpoint: peer.endpoint(),
            session: has_session(peer, now),
            candidates: state.candidates.len(),
            since_handshake: state.latest_handshake.map(|(at, _)| now.saturating_duration_since(at)),
            latest_handshake: state.latest_handshake.map(|(_, wall)| wall),
            persistent_keepalive: state.keepalive,
            bytes_received: peer.traffic.bytes_received.load(Ordering::Relaxed),
            bytes_sent: peer.traffic.bytes_sent.load(Ordering::Relaxed),
        }
    }

    fn begin_attempt(state: &mut State, now: Instant) {
        state.attempt.get_or_insert_with(|| Box::new(Attempt::new(now)));
    }

    fn stamp(&self, now: Instant) -> Stamp {
        let since = now.saturating_duration_since(self.start).as_nanos();
        u64::try_from(since).unwrap_or(Stamp::MAX).saturating_add(1)
    }
}

fn has_session(peer: &Peer, now: Instant) -> bool {
    peer.current
        .load()
        .as_ref()
        .is_some_and(|session| !session.is_expired(now))
}
