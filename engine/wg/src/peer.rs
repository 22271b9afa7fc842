//! One peer: its sessions, what waits for one, where it is, and what passed between us.

use crate::attempt::Attempt;
use crate::config::{canonical, usable};
use crate::cookie::Jar;
use crate::noise::handshake::{Own, Pending, Remote};
use crate::noise::hash::Key;
use crate::noise::timestamp::Timestamp;
use crate::queue::{Budget, Queue};
use crate::session::Session;
use crate::timers::{Alarm, Stamp};
use crate::{PeerConfig, PeerId};
use arc_swap::ArcSwapOption;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use zeroize::Zeroizing;

pub struct Peer {
    pub id: PeerId,
    pub public_key: [u8; 32],
    /// Shared secret of the static keys, made for the first handshake: of 10,000 peers most are never spoken with.
    shared: OnceLock<Option<Key>>,
    pub traffic: Traffic,
    pub alarm: Alarm,
    /// The session that data is sealed with.
    pub current: ArcSwapOption<Session>,
    endpoint: Mutex<Option<SocketAddr>>,
    state: Mutex<State>,
}

/// What the data path notes for the timers (whitepaper, section 6); no lock is taken for it.
#[derive(Default)]
pub struct Traffic {
    /// When anything authentic was sent last.
    pub sent: AtomicU64,
    /// When anything authentic came last.
    pub received: AtomicU64,
    /// When data was first sent that nothing came after.
    pub awaiting: AtomicU64,
    /// When data first came that nothing was sent after.
    pub owing: AtomicU64,
    /// Another session is wanted.
    pub renew: AtomicBool,
    pub bytes_received: AtomicU64,
    pub bytes_sent: AtomicU64,
}

impl Traffic {
    /// Something authentic goes out.
    pub fn note_sent(&self, now: Stamp, bytes: usize) {
        self.sent.store(now, Ordering::SeqCst);
        self.bytes_sent.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.owing.load(Ordering::SeqCst) != 0 {
            self.owing.store(0, Ordering::SeqCst);
        }
    }

    /// Something authentic came.
    pub fn note_received(&self, now: Stamp) {
        self.received.store(now, Ordering::SeqCst);
        if self.awaiting.load(Ordering::SeqCst) != 0 {
            self.awaiting.store(0, Ordering::SeqCst);
        }
    }

    /// Sets a mark that is not set.
    pub fn mark(mark: &AtomicU64, now: Stamp) -> bool {
        mark.load(Ordering::SeqCst) == 0
            && mark
                .compare_exchange(0, now, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
    }
}

/// What changes rarely.
pub struct State {
    /// Who still holds the peer finds it dead.
    pub retired: bool,
    pub preshared: Key,
    /// Seconds.
    pub keepalive: Option<u16>,
    configured: Option<SocketAddr>,
    pub candidates: Vec<SocketAddr>,
    pub queue: Queue,
    pub attempt: Option<Box<Attempt>>,
    pub pending: Option<Box<Pending>>,
    /// Opens what is late.
    pub previous: Option<Arc<Session>>,
    /// We answered, and the initiator has not used it yet.
    pub next: Option<Arc<Session>>,
    pub jar: Jar,
    /// Of the newest initiation that was accepted, and when it came.
    pub newest: Option<(Timestamp, Instant)>,
    pub latest_handshake: Option<(Instant, SystemTime)>,
    pub told: Told,
}

/// When the newest event of each kind was told.
#[derive(Default)]
pub struct Told {
    pub endpoint: Option<Instant>,
    pub handshake: Option<Instant>,
}

/// A peer may move, or make a session, with every packet; events of one kind are told no more often than this.
const TELL_EVERY: Duration = Duration::from_secs(1);

impl Told {
    /// Whether an event may be told now, which is noted.
    pub fn is_due(told: &mut Option<Instant>, now: Instant) -> bool {
        let due = told.is_none_or(|at| now.saturating_duration_since(at) >= TELL_EVERY);
        if due {
            *told = Some(now);
        }
        due
    }
}

impl Peer {
    pub fn new(config: &PeerConfig, waiting: &Budget) -> Self {
        let configured = config.endpoint.as_ref().and_then(canonical);
        Self {
            id: config.id,
            public_key: config.public_key,
            shared: OnceLock::new(),
            traffic: Traffic::default(),
            alarm: Alarm::default(),
            current: ArcSwapOption::empty(),
            endpoint: Mutex::new(configured),
            state: Mutex::new(State {
                retired: false,
                preshared: preshared(config),
                keepalive: interval(config),
                configured,
                candidates: usable(&config.candidates),
                queue: Queue::new(waiting.clone()),
                attempt: None,
                pending: None,
                previous: None,
                next: None,
                jar: Jar::default(),
                newest: None,
                latest_handshake: None,
                told: Told::default(),
            }),
        }
    }

    /// What a handshake needs; `None` when the library has no memory left.
    pub fn remote(&self, own: &Own) -> Option<Remote<'_>> {
        let shared = self.shared.get_or_init(|| own.agree(&self.public_key));
        Some(Remote {
            public: &self.public_key,
            shared: shared.as_ref()?,
        })
    }

    /// A panic while the lock was held would have left sessions that still authenticate everything they open, so going
    /// on with them is safe.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the peer is believed to be.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Believes another place; true when it is another.
    pub fn move_to(&self, endpoint: Option<SocketAddr>) -> bool {
        let mut held = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = *held != endpoint;
        *held = endpoint;
        moved
    }

    /// Takes what is declared anew; a running try starts over when there is somewhere new to try or another secret.
    /// True when the peer has to be looked at.
    pub fn update(&self, now: Instant, config: &PeerConfig) -> bool {
        let candidates = usable(&config.candidates);
        let (preshared, interval) = (preshared(config), interval(config));
        let configured = config.endpoint.as_ref().and_then(canonical);
        let mut state = self.lock();
        let moved = configured.is_some() && configured != state.configured && self.move_to(configured);
        let news = candidates.iter().any(|candidate| !state.candidates.contains(candidate));
        let restart = state.attempt.is_some() && (news || moved || *state.preshared != *preshared);
        let look = restart || interval != state.keepalive;
        state.candidates = candidates;
        state.configured = configured;
        state.preshared = preshared;
        state.keepalive = interval;
        if restart {
            state.attempt = Some(Box::new(Attempt::new(now)));
        }
        look
    }
}

fn preshared(config: &PeerConfig) -> Key {
    let key = config.preshared_key.as_ref().map(|key| key.bytes().clone());
    key.unwrap_or_else(|| Zeroizing::new([0; 32]))
}

fn interval(config: &PeerConfig) -> Option<u16> {
    config.persistent_keepalive.filter(|seconds| *seconds > 0)
}
