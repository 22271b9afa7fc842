//! The keys of one session: whitepaper, sections 5.4.5, 5.4.6 and 6.1.

use crate::frame::{self, HEADER_BYTES};
use crate::handover::SessionState;
use crate::noise::aead::{Aead, TAG_BYTES};
use crate::noise::handshake::Established;
use crate::noise::hash::Key;
use crate::window::{WORDS, Window};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Messages of a session after which its initiator makes another.
pub const REKEY_AFTER_MESSAGES: u64 = if SHORT { 500 } else { 1 << 60 };
/// Messages that a session may carry; no counter from here on is used or accepted.
pub const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13);
/// Age after which the initiator of a session makes another when it sends.
pub const REKEY_AFTER_TIME: Duration = seconds(120);
/// Age after which a session seals and opens nothing.
pub const REJECT_AFTER_TIME: Duration = seconds(180);
/// How long a side that received stays silent at most.
pub const KEEPALIVE_TIMEOUT: Duration = seconds(10);
/// How long a handshake message is waited for.
pub const REKEY_TIMEOUT: Duration = seconds(5);
/// Age after which the initiator of a session makes another when it receives (section 6.2).
pub const REKEY_ON_RECEIVE: Duration = seconds(180 - 10 - 5);

/// Whether tests want sessions that live a twentieth of their time: the other side has the same limits then.
const SHORT: bool = cfg!(feature = "test-short-sessions");

const fn seconds(seconds: u64) -> Duration {
    Duration::from_millis(seconds * if SHORT { 50 } else { 1000 })
}

/// Both directions between two parties. Immutable but for the counter and the window, so that threads share it.
pub struct Session {
    /// Receiver index of what comes.
    pub local: u32,
    remote: u32,
    /// Whether we began the handshake; that side alone renews by time.
    pub initiator: bool,
    pub created: Instant,
    /// The other side has shown that it holds the keys.
    confirmed: AtomicBool,
    send: Aead,
    receive: Aead,
    next: AtomicU64,
    window: Mutex<Window<WORDS>>,
    /// The ciphers do not give their keys; the process that follows this one needs them.
    keys: (Key, Key),
}

impl Session {
    /// `None` when the library has no memory left.
    pub fn new(now: Instant, local: u32, initiator: bool, keys: &Established) -> Option<Self> {
        Some(Self {
            local,
            remote: keys.remote_index,
            initiator,
            created: now,
            confirmed: AtomicBool::new(initiator),
            send: Aead::new(&keys.send)?,
            receive: Aead::new(&keys.receive)?,
            next: AtomicU64::new(0),
            window: Mutex::new(Window::new()),
            keys: (keys.send.clone(), keys.receive.clone()),
        })
    }

    /// Goes on where another process ended; `None` when that cannot be.
    pub fn adopt(created: Instant, told: SessionState) -> Option<Self> {
        let keys = Established {
            send: told.send,
            receive: told.receive,
            remote_index: told.remote,
        };
        let mut session = Self::new(created, told.local, told.initiator, &keys)?;
        session.confirmed = AtomicBool::new(told.confirmed);
        session.next = AtomicU64::new(told.next);
        session.window = Mutex::new(Window::restore(told.seen_next, &told.seen)?);
        Some(session)
    }

    /// Everything that the next process needs. Nothing may be sealed or opened here from then on, unless that process never
    /// comes to do so.
    pub fn tell(&self, now: Instant) -> SessionState {
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen_next, seen) = window.tell();
        let (send, receive) = self.keys.clone();
        SessionState {
            local: self.local,
            remote: self.remote,
            initiator: self.initiator,
            confirmed: self.confirmed.load(Ordering::Relaxed),
            age: self.age(now),
            send,
            receive,
            next: self.next.load(Ordering::Relaxed),
            seen_next,
            seen,
        }
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.created)
    }

    pub fn is_expired(&self, now: Instant) -> bool {
        self.age(now) >= REJECT_AFTER_TIME
    }

    /// Whether sending on it asks for another one.
    pub fn is_worn(&self, now: Instant) -> bool {
        let messages = self.next.load(Ordering::Relaxed);
        messages >= REKEY_AFTER_MESSAGES || (self.initiator && self.age(now) >= REKEY_AFTER_TIME)
    }

    /// Whether having received on it asks for another one.
    pub fn is_ending(&self, now: Instant) -> bool {
        self.initiator && self.age(now) >= REKEY_ON_RECEIVE
    }

    /// True for the first call of a session that we answered.
    pub fn confirm(&self) -> bool {
        !self.confirmed.load(Ordering::Relaxed) && !self.confirmed.swap(true, Ordering::Relaxed)
    }

    /// The first of `count` counters that belong to the caller alone; `None` once they are used up.
    pub fn take_counters(&self, count: usize) -> Option<u64> {
        let count = u64::try_from(count).ok()?;
        let within = |next: u64| next.checked_add(count).filter(|end| *end <= REJECT_AFTER_MESSAGES);
        self.next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, within)
            .ok()
    }

    /// Seals a frame in place: 16 bytes of room, the padded packet, 16 bytes of room.
    pub fn seal(&self, counter: u64, frame: &mut [u8]) -> Option<()> {
        let (header, rest) = frame.split_first_chunk_mut::<HEADER_BYTES>()?;
        let (text, tag) = rest.split_last_chunk_mut::<TAG_BYTES>()?;
        *header = frame::data_header(self.remote, counter);
        *tag = self.send.seal(counter, &[], text)?;
        Some(())
    }

    /// Opens a data message in place: the length of its padded packet, which starts behind the header. `None`: not
    /// sealed by the other side, too late, or seen before; the window is touched by what is authentic only.
    pub fn open(&self, now: Instant, datagram: &mut [u8]) -> Option<usize> {
        let counter = frame::data_counter(datagram).filter(|counter| *counter < REJECT_AFTER_MESSAGES)?;
        if self.is_expired(now) {
            return None;
        }
        let length = self.receive.open(counter, &[], datagram.get_mut(HEADER_BYTES..)?)?;
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.accept(counter).then_some(length)
    }

    #[cfg(test)]
    pub fn skip_to(&self, counter: u64) {
        self.next.store(counter, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(now: Instant) -> (Session, Session) {
        let keys = |send, receive, remote_index| Established {
            send: [send; 32].into(),
            receive: [receive; 32].into(),
            remote_index,
        };
        let initiator = Session::new(now, 1, true, &keys(3, 4, 2)).unwrap();
        (initiator, Session::new(now, 2, false, &keys(4, 3, 1)).unwrap())
    }

    fn sealed(session: &Session) -> Option<Vec<u8>> {
        let mut frame = vec![0; 16 + 32 + 16];
        session.seal(session.take_counters(1)?, &mut frame)?;
        Some(frame)
    }

    #[test]
    fn counters_end_before_they_wrap() {
        let now = Instant::now();
        let (a, b) = pair(now);
        a.skip_to(REJECT_AFTER_MESSAGES - 2);
        assert!(
            a.take_counters(3).is_none(),
            "a batch that would cross the end gets none"
        );
        for _ in 0..2 {
            assert_eq!(b.open(now, &mut sealed(&a).unwrap()), Some(32));
        }
        assert!(sealed(&a).is_none());
        assert!(a.is_worn(now), "another one was asked for long before");
    }

    #[test]
    fn a_counter_past_the_end_opens_nothing_even_when_authentic() {
        let now = Instant::now();
        let (a, b) = pair(now);
        let mut frame = vec![0; 64];
        a.seal(REJECT_AFTER_MESSAGES, &mut frame).unwrap();
        assert_eq!(b.open(now, &mut frame), None);
    }

    #[test]
    fn only_the_initiator_renews_by_time_and_both_by_messages() {
        let now = Instant::now();
        let (a, b) = pair(now);
        let second = Duration::from_secs(1);
        assert!(!a.is_worn(now + 119 * second) && a.is_worn(now + 120 * second) && !b.is_worn(now + 120 * second));
        assert!(
            !a.is_ending(now + 164 * second) && a.is_ending(now + 165 * second) && !b.is_ending(now + 179 * second)
        );
        assert!(!b.is_expired(now + 179 * second) && b.is_expired(now + 180 * second));
        b.skip_to(REKEY_AFTER_MESSAGES);
        assert!(b.is_worn(now));
    }

    #[test]
    fn each_flipped_bit_is_noticed_and_leaves_the_window_alone() {
        let now = Instant::now();
        let (a, b) = pair(now);
        let genuine = sealed(&a).unwrap();
        for bit in 64..genuine.len() * 8 {
            let mut forged = genuine.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(b.open(now, &mut forged), None, "bit {bit}");
        }
        assert_eq!(b.open(now, &mut genuine.clone()), Some(32));
        assert_eq!(b.open(now, &mut genuine.clone()), None, "once");
    }

    /// meshguard#119: to look and then to note let two threads open the same packet.
    #[test]
    fn threads_that_open_the_same_packets_open_each_once() {
        let now = Instant::now();
        let (a, b) = pair(now);
        let packets: Vec<_> = (0..2000).map(|_| sealed(&a).unwrap()).collect();
        let opened = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for packet in &packets {
                        let fresh = b.open(now, &mut packet.clone()).is_some();
                        opened.fetch_add(fresh.into(), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(opened.into_inner(), 2000);
    }
}
