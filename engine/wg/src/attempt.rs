//! One try to reach a peer: which endpoint gets the next initiation, and when.
//!
//! An initiation is sent to one endpoint at a time, the believed one first; the same bytes go to the next candidate when
//! no answer came, so that at most one of them makes a session. When all had it, a fresh initiation starts a new round,
//! each round later than the one before.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Wait before the next candidate gets the same initiation.
const CANDIDATE_GAP: Duration = Duration::from_millis(200);
/// Wait before the second round; doubles up to [`ROUND_CAP`].
const FIRST_ROUND: Duration = Duration::from_millis(500);
/// Longest wait between two rounds (Rekey-Timeout of the whitepaper, section 6.1).
const ROUND_CAP: Duration = Duration::from_secs(5);
/// After this long without an answer the try is given up (Rekey-Attempt-Time).
const GIVE_UP: Duration = Duration::from_secs(90);

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the current initiation there.
    Send(SocketAddr),
    /// Make a fresh initiation and call [`Attempt::begin_round`].
    NewRound,
    GiveUp,
}

/// A running try.
pub struct Attempt {
    started: Instant,
    round: u32,
    round_ends: Instant,
    initiation: Vec<u8>,
    targets: Vec<SocketAddr>,
    next_target: usize,
    due: Instant,
}

impl Attempt {
    /// Starts; the first [`Step`] is a new round, at once.
    pub fn new(now: Instant) -> Self {
        Self {
            started: now,
            round: 0,
            round_ends: now,
            initiation: Vec::new(),
            targets: Vec::new(),
            next_target: 0,
            due: now,
        }
    }

    /// The current initiation.
    pub fn initiation(&self) -> &[u8] {
        &self.initiation
    }

    /// How many rounds began.
    pub fn rounds(&self) -> u32 {
        self.round
    }

    /// When [`Attempt::step`] has something to say.
    pub fn deadline(&self) -> Instant {
        if self.next_target < self.targets.len() {
            self.due.min(self.round_ends)
        } else {
            self.round_ends
        }
    }

    /// Puts a fresh initiation in front of the targets. `jitter` below 334 ms is added to the wait (section 6.1).
    pub fn begin_round(&mut self, now: Instant, initiation: Vec<u8>, targets: Vec<SocketAddr>, jitter: Duration) {
        let backoff = FIRST_ROUND.saturating_mul(1 << self.round.min(8)).min(ROUND_CAP);
        let sending = CANDIDATE_GAP.saturating_mul(u32::try_from(targets.len()).unwrap_or(u32::MAX));
        self.round = self.round.saturating_add(1);
        self.round_ends = now + backoff.max(sending) + jitter;
        self.initiation = initiation;
        self.targets = targets;
        self.next_target = 0;
        self.due = now;
    }

    /// What to do now, if anything.
    pub fn step(&mut self, now: Instant) -> Option<Step> {
        if now.saturating_duration_since(self.started) >= GIVE_UP {
            return Some(Step::GiveUp);
        }
        if now >= self.round_ends {
            return Some(Step::NewRound);
        }
        if now < self.due {
            return None;
        }
        let target = *self.targets.get(self.next_target)?;
        self.next_target += 1;
        self.due = now + CANDIDATE_GAP;
        Some(Step::Send(target))
    }
}
