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
use std::sync::{Arc, Mutex};
use std::time::Instant;
use table::Table;

/// Handshake messages a second, over all peers, above which an initiator must return a cookie.
const HANDSHAKES_PER_SECOND: u64 = 200;
/// Packets that wait for a session of one peer; the oldest goes first.
pub const QUEUE_PACKETS: usize = 64;
/// Candidate endpoints kept of one peer.
pub const MAX_CANDIDATES: usize = 16;

/// The WireGuard state of one engine.
pub struct Wg {
    private: StaticSecret,
    public: PublicKey,
    limiter: RateLimiter,
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
            limiter: RateLimiter::new(&public, HANDSHAKES_PER_SECOND),
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
        let (next, refused) = self.table.load().replaced(now, &self.private, &self.public, peers);
        let former = self.table.swap(Arc::new(next));
        let current = self.table.load();
        for peer in former.peers() {
            if !current.holds(peer) {
                peer.retire();
            }
        }
        refused
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
