//! The WireGuard state of one engine, sans-IO: packets and time go in, packets and deadlines come out.
//!
//! [`Wg`] holds the static key and the peers. The data path calls [`Wg::seal_batch`] and [`Wg::open_batch`] from any
//! thread; one control thread calls [`Wg::handshake`] and [`Wg::poll`]. A key that is no peer is never answered.
//!
//! The cryptography and the session timers are boringtun's (its `Tunn`), one mutex a peer. What stands around it here:
//! which endpoint is believed, which candidates are tried and when, what waits for a session, and the bounds.

mod attempt;
mod config;
mod control;
mod counters;
mod data;
mod frame;
mod peer;
mod queue;
mod slot;
mod table;

pub use config::{PeerConfig, PeerId, Refused, StaticKey, usable_endpoint};
pub use control::{Event, Output};
pub use counters::{Counters, PeerStats};
pub use frame::{FrameKind, classify};
pub use slot::{DropReason, Outcome, SLOT_BYTES, Slot};

use arc_swap::ArcSwap;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::x25519::{PublicKey, StaticSecret};
use queue::Budget;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use table::{Own, Table};

/// Handshake messages a second, over all peers, above which an initiator must return a cookie.
const HANDSHAKES_PER_SECOND: u64 = 200;
/// How often the limiter sees a handshake message: before the peer is known and again in its `Tunn`. Both ask the same
/// limiter, because no initiation could return the cookies of two.
const LIMITER_LOOKS: u64 = 2;
/// Packets that wait for a session of one peer; the oldest goes first.
pub const QUEUE_PACKETS: usize = 64;
/// Bytes that wait for sessions of all peers together.
pub const QUEUE_BYTES: usize = 8 << 20;
/// Candidate endpoints kept of one peer.
pub const MAX_CANDIDATES: usize = 16;

/// The WireGuard state of one engine.
pub struct Wg {
    private: StaticSecret,
    public: PublicKey,
    limiter: Arc<RateLimiter>,
    waiting: Budget,
    table: ArcSwap<Table>,
    /// Held while the table is replaced, so that two replacements cannot lose one another.
    replacing: Mutex<()>,
    counters: Counters,
}

impl Wg {
    /// A state without peers.
    #[must_use]
    pub fn new(key: &StaticKey) -> Self {
        let private = StaticSecret::from(*key.bytes());
        let public = PublicKey::from(&private);
        Self {
            limiter: Arc::new(RateLimiter::new(&public, HANDSHAKES_PER_SECOND * LIMITER_LOOKS)),
            waiting: Budget::default(),
            private,
            public,
            table: ArcSwap::from_pointee(Table::default()),
            replacing: Mutex::new(()),
            counters: Counters::default(),
        }
    }

    /// The public half of the static key.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.public.to_bytes()
    }

    /// Counts since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Declares the peers. Who is kept (same id, same key) keeps its sessions; who is not in `peers` is gone when this
    /// returns: its keys are wiped, nothing more is sent to it and nothing of it is accepted.
    ///
    /// Returns the peers that were refused, with the reason; the others are in force.
    pub fn set_peers(&self, now: Instant, peers: Vec<PeerConfig>) -> Vec<(PeerId, Refused)> {
        let _held = self.replacing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (next, refused) = self.table.load().replaced(now, &self.own(), peers);
        let former = self.table.swap(Arc::new(next));
        let current = self.table.load();
        for peer in former.peers() {
            if !current.holds(peer) {
                peer.retire();
            }
        }
        refused
    }

    /// Bytes that wait for a session, of all peers.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.waiting.used()
    }

    fn own(&self) -> Own<'_> {
        Own {
            private: &self.private,
            public: &self.public,
            limiter: &self.limiter,
            waiting: &self.waiting,
        }
    }

    /// What one peer did so far; `None` when there is no such peer.
    #[must_use]
    pub fn stats(&self, peer: PeerId, now: Instant) -> Option<PeerStats> {
        let table = self.table.load();
        let peer = table.by_id(peer)?;
        let state = peer.lock();
        Some(PeerStats {
            endpoint: state.endpoint,
            session: state.has_session(),
            candidates: state.candidates.len(),
            since_handshake: state.latest_handshake.map(|at| now.saturating_duration_since(at)),
            bytes_received: peer.bytes_received.load(std::sync::atomic::Ordering::Relaxed),
            bytes_sent: peer.bytes_sent.load(std::sync::atomic::Ordering::Relaxed),
        })
    }
}
