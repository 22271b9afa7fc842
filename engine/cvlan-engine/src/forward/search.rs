//! The search for the largest packet that the way to one peer carries (RFC 8899), sans-IO: time and answers go in, probes and
//! a limit come out. Sizes are bytes of packets inside the tunnel.
//!
//! A probe is sent together with a small one. The small one tells a way that swallows what is large from one that swallows
//! everything, and a peer that does not answer probes from one that they do not reach. Where nothing is answered nothing is concluded.

use std::time::{Duration, Instant};

/// How long a size stands that was not reached beyond, and what a kernel was told (`PMTU_RAISE_TIMER`, RFC 8899 section 5.1.1; RFC 1191 section 6.3).
pub const RAISE: Duration = Duration::from_secs(600);
/// The same after a black hole, which may pass; doubled each time that it has not.
pub const RAISE_SOON: Duration = Duration::from_secs(30);
/// While large packets flow, the size in use is confirmed so often: nothing else would tell that they are swallowed.
pub const CONFIRM: Duration = Duration::from_secs(3);
/// Sizes nearer to each other than this are not told apart.
pub const STEP: u16 = 8;
/// Probes of a size that have to be lost (`MAX_PROBES`, RFC 8899 section 5.1.2).
const LOST: u8 = 3;
/// The same of a size that was confirmed: a loaded path loses some.
const LOST_CONFIRMED: u8 = 5;
/// Probes without any answer after which nothing is concluded.
const SILENT: u8 = 4;
/// Pauses after silence: doubled from the first to the last.
const PAUSE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// How long a probe is waited for before anything was answered, and the bounds of the wait after.
const PATIENCE: Duration = Duration::from_secs(1);
const WAIT: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];
/// Probes of one trial are so far apart at least, and up to four times that: what is lost to a moment of congestion is not lost to the size.
const SPACING: Duration = Duration::from_millis(100);

/// Sizes between which the answer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Carried by every path (`MIN_PLPMTU`).
    pub least: u16,
    /// Where a search begins once the largest size failed (`BASE_PLPMTU`).
    pub base: u16,
    /// That of the interface (`MAX_PLPMTU`).
    pub most: u16,
}

/// RFC 8899 section 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The size in use is being confirmed, or has not been yet.
    Base,
    /// A larger size than the one in use is looked for.
    Searching,
    /// The size in use was confirmed, and the next one failed or is the interface's limit.
    Complete,
    /// Not even the base size is carried.
    Error,
    /// The peer answers no probes; what the kernel is told decides.
    Disabled,
}

/// To be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What its answer names.
    pub id: u32,
    /// Bytes of the packet inside the tunnel, padding included.
    pub size: u16,
}

/// One size on trial.
#[derive(Clone, Copy, Debug)]
struct Trial {
    size: u16,
    /// Of its first probe; even numbers are large, odd ones the small ones beside them.
    first: u32,
    /// Of its latest.
    latest: u32,
    sent: Instant,
    deadline: Instant,
    /// The small probe beside the latest one was answered.
    beside: bool,
    lost: u8,
    silent: u8,
}

impl Trial {
    fn spread(&self) -> u32 {
        1 << (self.lost + self.silent).min(2)
    }
}

/// The search for one peer.
#[derive(Clone, Debug)]
pub struct Search {
    bounds: Bounds,
    state: State,
    limit: u16,
    confirmed: Option<Instant>,
    /// The largest size that is known to be carried, and the smallest that is known not to be.
    low: u16,
    high: u16,
    trial: Option<Trial>,
    next_id: u32,
    answers: bool,
    round_trip: Option<Duration>,
    used: bool,
    /// Nothing is tried before.
    quiet_until: Instant,
    pause: Duration,
    raise_at: Option<Instant>,
    raise_after: Duration,
    /// What the kernel was told, and until when it is believed.
    told: Option<(u16, Instant)>,
    black_holes: u64,
}

impl Search {
    /// Nothing is known: the interface's limit holds until a probe says otherwise. A peer without `probing` is sent none.
    pub fn new(bounds: Bounds, probing: bool, now: Instant) -> Self {
        let most = bounds.most.max(bounds.least);
        Self {
            bounds: Bounds { most, ..bounds },
            state: if probing { State::Base } else { State::Disabled },
            limit: most,
            confirmed: None,
            low: bounds.least,
            high: most.saturating_add(1),
            trial: None,
            next_id: 0,
            answers: false,
            round_trip: None,
            used: false,
            quiet_until: now,
            pause: PAUSE[0],
            raise_at: None,
            raise_after: RAISE,
            told: None,
            black_holes: 0,
        }
    }

    /// Begins anew, on another path or with other bounds. What is known of the peer itself stays.
    pub fn restart(&mut self, bounds: Bounds, probing: bool, now: Instant) {
        *self = Self {
            answers: self.answers,
            // Answers to probes of before are late.
            next_id: self.next_id,
            used: self.used,
            black_holes: self.black_holes,
            ..Self::new(bounds, probing, now)
        };
    }

    /// What it was made with.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Bytes of the largest packet that is to be sent.
    pub fn limit(&self) -> u16 {
        self.limit
    }

    /// Where the search stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Sizes that were carried and then swallowed.
    pub fn black_holes(&self) -> u64 {
        self.black_holes
    }

    /// Packets of this size or more make the path worth probing; an idle peer is sent nothing.
    pub fn watched(&self) -> u16 {
        let size = self.limit.min(self.bounds.base);
        size - size / 8
    }

    /// Whether the limit is known to be carried.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed.is_some()
    }

    /// Packets worth probing for are sent.
    pub fn used(&mut self) {
        self.used = true;
    }

    /// Whether [`Search::used`] would say something new.
    pub fn wants_use(&self) -> bool {
        !self.used
    }

    /// The kernel was told, or knows of its own, that packets past `limit` do not go.
    pub fn narrow(&mut self, limit: u16, now: Instant) {
        let limit = limit.max(self.bounds.least);
        if limit >= self.bounds.most {
            return;
        }
        self.told = Some((limit, now + RAISE));
        self.high = self.high.min(limit.saturating_add(1));
        if self.trial.is_some_and(|trial| trial.size > limit) {
            self.trial = None;
        }
        if self.limit > limit {
            self.limit = limit;
            self.confirmed = None;
            if self.state != State::Disabled {
                self.state = State::Base;
            }
        }
        self.low = self.low.min(limit);
        if self.state != State::Disabled {
            self.raise_after = RAISE;
            self.raise_at = Some(now + RAISE);
        }
    }

    /// A probe was answered.
    pub fn answered(&mut self, id: u32, now: Instant) {
        let Some(mut trial) = self
            .trial
            .filter(|trial| (trial.first..=trial.latest.saturating_add(1)).contains(&id))
        else {
            return;
        };
        self.answers = true;
        self.pause = PAUSE[0];
        if id >= trial.latest {
            self.measure(now.saturating_duration_since(trial.sent));
        }
        if (id - trial.first).is_multiple_of(2) {
            self.trial = None;
            self.carried(trial.size, now);
            return;
        }
        if id > trial.latest && !trial.beside {
            // The large one was sent first and has no more than a little time left.
            trial.beside = true;
            let least = trial.sent + SPACING * trial.spread();
            trial.deadline = trial.deadline.min((now + self.wait() / 2).max(least));
        }
        self.trial = Some(trial);
    }

    /// Does what is due; what is to be sent is added to `probes`.
    pub fn poll(&mut self, now: Instant, probes: &mut Vec<Probe>) {
        if let Some(trial) = self.trial {
            if now < trial.deadline {
                return;
            }
            self.unanswered(trial, now, probes);
        }
        self.forget_told(now);
        let due = self.trial.is_none() && self.next().is_some_and(|at| at <= now);
        if let Some(size) = if due { self.choose(now) } else { None } {
            self.begin(size, now, probes);
        }
    }

    /// When [`Search::poll`] is to be called next.
    pub fn next(&self) -> Option<Instant> {
        if let Some(trial) = &self.trial {
            return Some(trial.deadline);
        }
        let lifted = self.told.map(|(_, until)| until);
        let wanted = match self.state {
            State::Searching => Some(self.quiet_until),
            _ if !self.used => None,
            State::Disabled => self.raise_at.map(|at| at.max(self.quiet_until)),
            State::Base | State::Complete | State::Error => {
                let confirm = self.confirmed.map_or(self.quiet_until, |at| at + CONFIRM);
                Some(
                    self.raise_at
                        .map_or(confirm, |at| at.min(confirm))
                        .max(self.quiet_until),
                )
            }
        };
        [lifted, wanted].into_iter().flatten().min()
    }

    fn forget_told(&mut self, now: Instant) {
        if self.told.is_some_and(|(_, until)| until <= now) {
            self.told = None;
            if self.state == State::Disabled {
                self.limit = self.bounds.most;
                self.high = self.bounds.most.saturating_add(1);
            }
        }
    }

    /// The size to try now.
    fn choose(&mut self, now: Instant) -> Option<u16> {
        let raise = self.raise_at.is_some_and(|at| at <= now);
        match self.state {
            State::Searching => {}
            // The peer may have learned to answer.
            State::Disabled => {
                self.raise_at = None;
                self.state = State::Base;
            }
            State::Complete | State::Error if raise => {
                self.raise_at = None;
                self.high = self.most().saturating_add(1);
                self.state = State::Searching;
            }
            State::Base | State::Complete | State::Error => {}
        }
        // What is in use is watched also while more is looked for.
        let stale = self.confirmed.is_none_or(|at| at + CONFIRM <= now);
        if self.state != State::Searching || stale {
            self.used = false;
            return Some(self.limit);
        }
        let larger = self.larger();
        if larger.is_none() {
            self.settle(now);
        }
        larger
    }

    /// The largest size first, then halves; `None` when there is nothing left to look for.
    fn larger(&self) -> Option<u16> {
        let most = self.most();
        if self.high > most && self.low < most {
            return Some(most);
        }
        let gap = self.high.saturating_sub(self.low);
        (gap > STEP).then_some(self.low + gap / 2)
    }

    /// Ends a search that is complete.
    fn settle(&mut self, now: Instant) {
        if self.larger().is_some() {
            return;
        }
        let base = self.bounds.base.min(self.bounds.most);
        self.state = if self.low < base { State::Error } else { State::Complete };
        if self.raise_at.is_none() && self.limit < self.bounds.most {
            self.raise_at = Some(now + self.raise_after);
            self.raise_after = (self.raise_after * 2).min(RAISE);
        }
    }

    fn most(&self) -> u16 {
        self.told
            .map_or(self.bounds.most, |(limit, _)| limit.min(self.bounds.most))
    }

    fn begin(&mut self, size: u16, now: Instant, probes: &mut Vec<Probe>) {
        let trial = Trial {
            size,
            first: self.next_id,
            latest: self.next_id,
            sent: now,
            deadline: now,
            beside: false,
            lost: 0,
            silent: 0,
        };
        self.send(trial, now, probes);
    }

    /// A pair of probes: the one on trial, and a small one.
    fn send(&mut self, trial: Trial, now: Instant, probes: &mut Vec<Probe>) {
        let id = self.next_id;
        // Numbers start over before they end; nothing of before is waited for then.
        self.next_id = if id >= u32::MAX - 3 { 0 } else { id + 2 };
        let first = if id < trial.first { id } else { trial.first };
        self.trial = Some(Trial {
            first,
            latest: id,
            sent: now,
            deadline: now + (self.wait() * trial.spread()).min(WAIT[1]),
            beside: false,
            ..trial
        });
        probes.push(Probe { id, size: trial.size });
        probes.push(Probe { id: id + 1, size: 0 });
    }

    /// The probe on trial was not answered in time.
    fn unanswered(&mut self, mut trial: Trial, now: Instant, probes: &mut Vec<Probe>) {
        self.trial = None;
        if trial.beside {
            trial.lost += 1;
        } else {
            trial.silent += 1;
        }
        let confirmed = self.confirmed.is_some() && trial.size == self.limit;
        if trial.lost >= if confirmed { LOST_CONFIRMED } else { LOST } {
            self.swallowed(trial.size, confirmed, now);
        } else if trial.silent >= SILENT {
            self.silent(now);
        } else {
            self.send(trial, now, probes);
        }
    }

    /// Nothing came back: an outage, or a peer that does not answer.
    fn silent(&mut self, now: Instant) {
        if !self.answers {
            self.state = State::Disabled;
            self.raise_at = Some(now + RAISE);
            return;
        }
        self.quiet_until = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE[1]);
        if self.state == State::Searching {
            // What is in use was confirmed; the rest can wait until packets flow again.
            self.state = State::Complete;
            self.raise_at = Some(self.quiet_until);
        }
    }

    fn carried(&mut self, size: u16, now: Instant) {
        self.low = self.low.max(size);
        if size > self.limit {
            self.limit = size;
        }
        if size >= self.limit {
            self.confirmed = Some(now);
        }
        if size >= self.bounds.most {
            self.raise_at = None;
            self.raise_after = RAISE;
        }
        if matches!(self.state, State::Base | State::Searching) {
            self.state = State::Searching;
            self.quiet_until = now;
            self.settle(now);
        }
    }

    /// What is of `size` does not arrive, and what is small does.
    fn swallowed(&mut self, size: u16, confirmed: bool, now: Instant) {
        self.high = self.high.min(size);
        if size > self.limit {
            return self.settle(now);
        }
        self.black_holes += u64::from(confirmed);
        self.confirmed = None;
        self.raise_at = None;
        self.raise_after = RAISE_SOON;
        self.low = self.bounds.least;
        // Whether or not more is sent, the fall is confirmed at once; where it cannot go on, there is time.
        self.used = true;
        self.quiet_until = now;
        if self.limit > self.bounds.base {
            self.limit = self.bounds.base;
            self.state = State::Base;
            return;
        }
        if self.limit == self.bounds.least {
            self.quiet_until = now + RAISE_SOON;
        }
        self.limit = self.bounds.least;
        self.state = State::Searching;
        self.settle(now);
    }

    fn measure(&mut self, took: Duration) {
        // RFC 6298 section 2.3, without the variance: the wait is a multiple.
        self.round_trip = Some(self.round_trip.map_or(took, |known| known * 7 / 8 + took / 8));
    }

    fn wait(&self) -> Duration {
        self.round_trip
            .map_or(PATIENCE, |known| (known * 2).clamp(WAIT[0], WAIT[1]))
    }
}

#[cfg(test)]
mod tests;
