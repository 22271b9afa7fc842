//! Initiations under keys that are no peers' yet: two parties seldom hear of each other in the same moment, and who
//! heard first would wait for its next round. They are answered as soon as the key is declared, and nothing before.
//!
//! Fixed memory, whoever sends: a flood of other keys pushes out who is waited for, who then comes with its next round.

use crate::noise::message::INITIATION_BYTES;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Keys that are remembered; about 15 kB when all are in use.
const KEYS: usize = 64;
/// Its sender has begun another round after so long (Rekey-Timeout of the whitepaper, section 6.1).
const LIFETIME: Duration = Duration::from_secs(5);

struct Stranger {
    at: Instant,
    public: [u8; 32],
    from: SocketAddr,
    initiation: [u8; INITIATION_BYTES],
}

/// The newest initiation of each key, oldest first.
#[derive(Default)]
pub struct Strangers(Mutex<VecDeque<Stranger>>);

impl Strangers {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Stranger>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers an initiation that claims to come from `public`: nobody has proved it.
    pub fn note(&self, now: Instant, from: SocketAddr, public: [u8; 32], packet: &[u8]) {
        let Ok(initiation) = packet.try_into() else { return };
        let mut all = self.lock();
        all.retain(|one| one.public != public && is_fresh(one, now));
        if all.len() >= KEYS {
            all.pop_front();
        }
        all.push_back(Stranger {
            at: now,
            public,
            from,
            initiation,
        });
    }

    /// Whether there is one of this key.
    pub fn knows(&self, public: &[u8; 32], now: Instant) -> bool {
        self.lock()
            .iter()
            .any(|one| one.public == *public && is_fresh(one, now))
    }

    /// Takes the one of this key, and where it came from.
    pub fn take(&self, public: &[u8; 32], now: Instant) -> Option<(SocketAddr, [u8; INITIATION_BYTES])> {
        let mut all = self.lock();
        let at = all.iter().position(|one| one.public == *public)?;
        let one = all.remove(at).filter(|one| is_fresh(one, now))?;
        Some((one.from, one.initiation))
    }
}

fn is_fresh(stranger: &Stranger, now: Instant) -> bool {
    now.saturating_duration_since(stranger.at) < LIFETIME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_each_key_is_kept_for_a_while_and_never_more_than_fit() {
        let (strangers, start) = (Strangers::default(), Instant::now());
        let note = |key: u8, message: u8, at: Instant| {
            let from = SocketAddr::from(([192, 0, 2, key], message.into()));
            strangers.note(at, from, [key; 32], &[message; INITIATION_BYTES]);
        };
        note(1, 1, start);
        note(1, 2, start);
        let later = start + LIFETIME;
        assert!(strangers.knows(&[1; 32], start) && !strangers.knows(&[1; 32], later));
        let newest = (SocketAddr::from(([192, 0, 2, 1], 2)), [2; INITIATION_BYTES]);
        assert_eq!(strangers.take(&[1; 32], start), Some(newest));
        assert_eq!(strangers.take(&[1; 32], start), None, "once");
        for key in 0..=u8::MAX {
            note(key, 0, start);
        }
        assert_eq!(strangers.lock().len(), KEYS);
        assert!(strangers.knows(&[u8::MAX; 32], start) && !strangers.knows(&[0; 32], start));
        note(9, 0, later);
        assert_eq!(strangers.lock().len(), 1, "what is old goes");
        strangers.note(later, SocketAddr::from(([192, 0, 2, 1], 1)), [8; 32], &[1; 147]);
        assert!(!strangers.knows(&[8; 32], later));
    }
}
