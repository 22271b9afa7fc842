//! Counts, read by the status of the engine.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Counts since the start; each only grows.
#[derive(Debug, Default)]
pub struct Counters {
    /// Handshake initiations made (a copy to a further candidate is not a further initiation).
    pub handshakes_initiated: AtomicU64,
    /// Sessions confirmed by the other side.
    pub handshakes_completed: AtomicU64,
    /// Handshake messages refused: bad MAC, unknown key, replayed, unexpected, or over the rate.
    pub handshakes_refused: AtomicU64,
    /// Handshakes given up for want of an answer.
    pub handshakes_timed_out: AtomicU64,
    /// Datagrams of a receiver index or key that belongs to no peer.
    pub rx_dropped_unknown_peer: AtomicU64,
    /// Datagrams that failed authentication or came twice.
    pub rx_dropped_auth: AtomicU64,
    /// Authentic packets that are no IP packets, or whose header contradicts their length.
    pub rx_dropped_malformed: AtomicU64,
    /// Packets that no session came for, or whose peer is gone.
    pub tx_dropped_no_session: AtomicU64,
    /// Packets that gave way to newer ones while they waited for a session.
    pub tx_dropped_queue: AtomicU64,
}

pub(crate) fn bump(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// State of one peer at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStats {
    /// Where the last authenticated packet came from.
    pub endpoint: Option<SocketAddr>,
    /// Whether data can be sealed now.
    pub session: bool,
    /// Endpoints that may be tried.
    pub candidates: usize,
    /// Time since the last confirmed handshake.
    pub since_handshake: Option<Duration>,
    /// When that was by the wall clock of then.
    pub latest_handshake: Option<SystemTime>,
    /// Seconds, as declared.
    pub persistent_keepalive: Option<u16>,
    /// Sealed bytes of data packets that were authenticated.
    pub bytes_received: u64,
    /// Sealed bytes of data packets.
    pub bytes_sent: u64,
}
