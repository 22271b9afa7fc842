//! Peers whose path carries less than the interface, and what their packets may measure.

use arc_swap::ArcSwap;
use cvlan_wg::{DATA_OVERHEAD, PeerId};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A path may have become wider after so long (RFC 1191 section 6.3).
const LIFETIME: Duration = Duration::from_secs(600);
/// Below this a path is not believed to be so narrow: IPv4 hosts must take 576 bytes (RFC 791 section 3.1).
const LEAST: usize = 576;
const UDP_HEADER: usize = 8;
/// Answers to packets that are too big: so many a second, and so many at once.
const ANSWERS: u32 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Narrow {
    limit: usize,
    until: Instant,
}

/// What is known of the paths; mostly nothing.
#[derive(Default)]
pub struct Paths {
    narrow: ArcSwap<HashMap<PeerId, Narrow>>,
    changing: Mutex<()>,
}

impl Paths {
    /// Bytes of the largest inner packet; `None` when the interface's own limit holds.
    pub fn limit(&self, peer: PeerId, now: Instant) -> Option<usize> {
        let narrow = self.narrow.load();
        narrow.get(&peer).filter(|path| now < path.until).map(|path| path.limit)
    }

    /// The path to `peer` at `endpoint` carries IP packets of `mtu` bytes.
    pub fn learn(&self, peer: PeerId, endpoint: SocketAddr, mtu: usize, now: Instant) {
        let header = if endpoint.ip().to_canonical().is_ipv4() { 20 } else { 40 };
        let limit = mtu.max(LEAST).saturating_sub(header + UDP_HEADER + DATA_OVERHEAD);
        let until = now + LIFETIME;
        self.change(|paths| {
            paths.retain(|_, path| now < path.until);
            paths.insert(peer, Narrow { limit, until });
        });
    }

    /// The peer is elsewhere now, or gone.
    pub fn forget(&self, peer: PeerId) {
        if self.narrow.load().contains_key(&peer) {
            self.change(|paths| {
                paths.remove(&peer);
            });
        }
    }

    fn change(&self, how: impl FnOnce(&mut HashMap<PeerId, Narrow>)) {
        let _held = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut paths = HashMap::clone(&self.narrow.load());
        how(&mut paths);
        self.narrow.store(paths.into());
    }
}

/// Bounds the answers to packets that are too big (RFC 4443 section 2.4 f).
pub struct Answers {
    left: u32,
    filled: Instant,
}

impl Answers {
    /// Full.
    pub fn new(now: Instant) -> Self {
        Self {
            left: ANSWERS,
            filled: now,
        }
    }

    /// Whether one more may go.
    pub fn take(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.filled) >= Duration::from_secs(1) {
            *self = Self::new(now);
        }
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: PeerId = PeerId(1);

    #[test]
    fn a_narrow_path_is_remembered_for_ten_minutes_or_until_the_peer_moves() {
        let (paths, start) = (Paths::default(), Instant::now());
        assert_eq!(paths.limit(PEER, start), None);
        paths.learn(PEER, "192.0.2.1:1".parse().unwrap(), 1400, start);
        assert_eq!(paths.limit(PEER, start), Some(1400 - 60));
        paths.learn(PEER, "[2001:db8::1]:1".parse().unwrap(), 1280, start);
        assert_eq!(paths.limit(PEER, start), Some(1280 - 80));
        assert_eq!(paths.limit(PEER, start + LIFETIME), None);
        paths.learn(PeerId(2), "[::ffff:192.0.2.1]:1".parse().unwrap(), 0, start);
        assert_eq!(paths.limit(PeerId(2), start), Some(576 - 60));
        paths.forget(PEER);
        assert_eq!(paths.limit(PEER, start), None);
    }

    #[test]
    fn answers_are_bounded() {
        let start = Instant::now();
        let mut answers = Answers::new(start);
        assert_eq!((0..1000).filter(|_| answers.take(start)).count(), 100);
        assert!(answers.take(start + Duration::from_secs(1)));
    }
}
