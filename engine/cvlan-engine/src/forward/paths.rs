//! What the ways to peers carry, as the data path looks at it: two loads for a large packet, nothing for a small one.

use super::search::{Search, State};
use arc_swap::ArcSwap;
use cvlan_wg::{DATA_OVERHEAD, PeerId};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// IPv4 hosts must take packets of so many bytes (RFC 791 section 3.1), and IPv6 paths carry so many (RFC 8200 section 5).
const LEAST: [usize; 2] = [576, 1280];
const HEADERS: [usize; 2] = [20, 40];
const UDP_HEADER: usize = 8;
/// Below what any path carries and any search watches: packets of so many bytes are not looked up.
const SMALL: usize = 440;
/// What is watched before a search says more, from seven eighths of its base size on.
const WATCHED: u16 = BASE - BASE / 8;
/// Where a search begins once the interface's own size failed: what IPv6 inside the tunnel needs (RFC 8200 section 5).
pub const BASE: u16 = 1280;
/// A change copies the entries of one part.
const PARTS: usize = 64;

/// Bytes of the largest packet inside the tunnel when datagrams to `endpoint` may have `mtu`, IP header included.
pub fn inside(endpoint: SocketAddr, mtu: usize) -> u16 {
    let family = usize::from(!endpoint.ip().to_canonical().is_ipv4());
    let header = HEADERS.get(family).unwrap_or(&0);
    let least = LEAST.get(family).unwrap_or(&0);
    let limit = mtu.max(*least).saturating_sub(header + UDP_HEADER + DATA_OVERHEAD);
    u16::try_from(limit).unwrap_or(u16::MAX)
}

/// The way to one peer.
struct Path {
    /// Bytes; 0 when the interface's own limit holds.
    limit: AtomicU16,
    /// Packets of so many bytes are told as use, once.
    watched: AtomicU16,
    used: AtomicBool,
    found: Mutex<Found>,
}

/// What status tells of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Bytes of the largest packet inside the tunnel.
    pub limit: u16,
    /// An answered probe says so.
    pub confirmed: bool,
    /// Where the search stands.
    pub state: State,
}

/// What a packet is to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carries {
    /// Bytes of the largest packet; `None` when the interface's own limit holds.
    pub limit: Option<usize>,
    /// The search is to be told that the path is used.
    pub tell: bool,
}

type Part = HashMap<PeerId, Arc<Path>>;

/// What is known of the paths; nothing of those that no large packet went.
pub struct Paths {
    parts: [ArcSwap<Part>; PARTS],
    changing: Mutex<()>,
}

impl Default for Paths {
    fn default() -> Self {
        let none = Arc::<Part>::default();
        Self {
            parts: std::array::from_fn(|_| ArcSwap::new(none.clone())),
            changing: Mutex::default(),
        }
    }
}

impl Paths {
    /// For packets of up to `largest` bytes that go to `peer` now.
    pub fn carries(&self, peer: PeerId, largest: usize) -> Carries {
        if largest <= SMALL {
            return Carries::default();
        }
        self.look_or_add(peer, |path| path.carries(largest)).unwrap_or_default()
    }

    /// Bytes of the largest packet; `None` when the interface's own limit holds.
    pub fn limit(&self, peer: PeerId) -> Option<usize> {
        self.look(peer, Path::limit).flatten()
    }

    /// The search could not be told that the path is used; the next packet tells it.
    pub fn untold(&self, peer: PeerId) {
        self.look(peer, |path| path.used.store(false, Ordering::Relaxed));
    }

    /// Packets past `limit` bytes do not go, whatever the search knows so far.
    pub fn lower(&self, peer: PeerId, limit: u16) {
        self.look_or_add(peer, |path| {
            let lower = |known| (known == 0 || known > limit).then_some(limit);
            let _ = path.limit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lower);
        });
    }

    /// What the search found.
    pub fn publish(&self, peer: PeerId, search: &Search) {
        self.look_or_add(peer, |path| {
            let limit = search.limit();
            let narrower = limit < search.bounds().most;
            path.limit.store(if narrower { limit } else { 0 }, Ordering::Relaxed);
            path.watched.store(search.watched(), Ordering::Relaxed);
            if search.wants_use() {
                path.used.store(false, Ordering::Relaxed);
            }
            *path.found.lock().unwrap_or_else(PoisonError::into_inner) = Found {
                limit,
                confirmed: search.is_confirmed(),
                state: search.state(),
            };
        });
    }

    /// For status; `None` while nothing is known.
    pub fn found(&self, peer: PeerId) -> Option<Found> {
        let found = self.look(peer, |path| *path.found.lock().unwrap_or_else(PoisonError::into_inner));
        found.filter(|found| found.limit > 0)
    }

    /// The peer is gone.
    pub fn forget(&self, peer: PeerId) {
        self.change(peer, |paths| {
            paths.remove(&peer);
        });
    }

    fn part(&self, peer: PeerId) -> Option<&ArcSwap<Part>> {
        let [first, ..] = peer.0.to_le_bytes();
        self.parts.get(usize::from(first) % PARTS)
    }

    fn look<T>(&self, peer: PeerId, how: impl FnOnce(&Path) -> T) -> Option<T> {
        let paths = self.part(peer)?.load();
        paths.get(&peer).map(|path| how(path))
    }

    fn look_or_add<T>(&self, peer: PeerId, how: impl Fn(&Path) -> T) -> Option<T> {
        self.look(peer, &how).or_else(|| {
            self.change(peer, |paths| {
                paths.entry(peer).or_default();
            });
            self.look(peer, how)
        })
    }

    fn change(&self, peer: PeerId, how: impl FnOnce(&mut Part)) {
        let Some(part) = self.part(peer) else { return };
        let _held = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut paths = Part::clone(&part.load());
        how(&mut paths);
        part.store(paths.into());
    }
}

impl Default for Path {
    fn default() -> Self {
        let found = Found {
            limit: 0,
            confirmed: false,
            state: State::Base,
        };
        Self {
            limit: AtomicU16::new(0),
            watched: AtomicU16::new(WATCHED),
            used: AtomicBool::new(false),
            found: Mutex::new(found),
        }
    }
}

impl Path {
    fn limit(&self) -> Option<usize> {
        match self.limit.load(Ordering::Relaxed) {
            0 => None,
            limit => Some(limit.into()),
        }
    }

    fn carries(&self, largest: usize) -> Carries {
        let watched = largest >= usize::from(self.watched.load(Ordering::Relaxed));
        let tell = watched && !self.used.load(Ordering::Relaxed) && !self.used.swap(true, Ordering::Relaxed);
        Carries {
            limit: self.limit(),
            tell,
        }
    }
}

/// Bounds answers: so many a second, and so many at once (RFC 4443 section 2.4 f).
pub struct Answers {
    most: u32,
    left: u32,
    filled: Instant,
}

impl Answers {
    /// Full.
    pub fn new(most: u32, now: Instant) -> Self {
        Self {
            most,
            left: most,
            filled: now,
        }
    }

    /// Whether one more may go.
    pub fn take(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.filled) >= Duration::from_secs(1) {
            *self = Self::new(self.most, now);
        }
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::search::Bounds;
    use super::*;

    const PEER: PeerId = PeerId(1);

    #[test]
    fn the_outer_headers_are_taken_off_by_family() {
        let inside = |endpoint: &str, mtu| super::inside(endpoint.parse().unwrap(), mtu);
        assert_eq!(inside("192.0.2.1:1", 1400), 1400 - 60);
        assert_eq!(inside("[::ffff:192.0.2.1]:1", 0), 576 - 60);
        assert_eq!(inside("[2001:db8::1]:1", 1500), 1500 - 80);
        assert_eq!(inside("[2001:db8::1]:1", 576), 1280 - 80);
    }

    #[test]
    fn use_is_told_once_until_the_search_wants_to_know_again() {
        let paths = Paths::default();
        let tell = |largest| paths.carries(PEER, largest).tell;
        assert!(!tell(SMALL) && paths.found(PEER).is_none());
        assert!(!tell(1000) && tell(1420) && !tell(1420));
        paths.untold(PEER);
        assert!(tell(1420));
        let bounds = Bounds {
            least: 516,
            base: 1280,
            most: 1420,
        };
        let mut search = Search::new(bounds, true, Instant::now());
        search.used();
        paths.publish(PEER, &search);
        assert!(!tell(1420), "it knows");
        search.poll(Instant::now(), &mut Vec::new());
        paths.publish(PEER, &search);
        assert!(tell(1420));
    }

    #[test]
    fn a_limit_holds_at_once_and_until_the_search_says_otherwise() {
        let (paths, now) = (Paths::default(), Instant::now());
        paths.carries(PEER, 1420);
        assert_eq!(paths.limit(PEER), None);
        paths.lower(PEER, 1300);
        paths.lower(PEER, 1350);
        assert_eq!((paths.limit(PEER), paths.limit(PeerId(65))), (Some(1300), None));
        let bounds = Bounds {
            least: 516,
            base: 1280,
            most: 1420,
        };
        let mut search = Search::new(bounds, false, now);
        search.narrow(1350, now);
        paths.publish(PEER, &search);
        assert_eq!(paths.limit(PEER), Some(1350));
        assert_eq!(
            paths.found(PEER).map(|found| (found.limit, found.state)),
            Some((1350, State::Disabled))
        );
        paths.publish(PEER, &Search::new(bounds, true, now));
        assert_eq!(paths.limit(PEER), None);
        paths.forget(PEER);
        assert_eq!(paths.found(PEER), None);
    }

    #[test]
    fn answers_are_bounded() {
        let start = Instant::now();
        let mut answers = Answers::new(100, start);
        assert_eq!((0..1000).filter(|_| answers.take(start)).count(), 100);
        assert!(answers.take(start + Duration::from_secs(1)));
    }
}
