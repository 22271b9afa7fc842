//! TAI64N labels of initiations (whitepaper, section 5.1): an initiation counts once.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// TAI64 label of the beginning of 1970 (TAI64N counts seconds from 2^62; leap seconds are left out, as by all others).
const BASE: u64 = 0x4000_0000_0000_000a;
/// Nanoseconds are rounded down to a multiple of this, so that the label says little about the clock's fine beat.
const GRAIN: u32 = 1 << 24;

/// A label; later ones compare greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp([u8; 12]);

impl Timestamp {
    pub fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    pub fn bytes(&self) -> &[u8; 12] {
        &self.0
    }

    fn new(since_1970: Duration) -> Self {
        let seconds = BASE.wrapping_add(since_1970.as_secs()).to_be_bytes();
        let [a, b, c, d, e, f, g, h] = seconds;
        let [i, j, k, l] = since_1970.subsec_nanos().to_be_bytes();
        Self([a, b, c, d, e, f, g, h, i, j, k, l])
    }
}

/// A moment by both clocks: the steady one that the state runs on, and the one on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// By the steady clock.
    pub instant: Instant,
    /// The same moment by the clock of the machine.
    pub wall: SystemTime,
}

impl Epoch {
    /// What the wall clock says at `now`.
    pub(crate) fn wall_at(&self, now: Instant) -> SystemTime {
        match now.checked_duration_since(self.instant) {
            Some(later) => self.wall.checked_add(later).unwrap_or(self.wall),
            None => self.wall,
        }
    }
}

/// Gives each initiation a label that is greater than the one before, whatever the wall clock does.
#[derive(Default)]
pub struct Stamper {
    last: Duration,
}

impl Stamper {
    /// Time since 1970 in the newest label.
    pub fn last(&self) -> Duration {
        self.last
    }

    /// Labels from now on are greater than that of this time.
    pub fn raise(&mut self, last: Duration) {
        self.last = self.last.max(last);
    }

    pub fn stamp(&mut self, wall: SystemTime) -> Timestamp {
        let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let coarse = Duration::new(since.as_secs(), since.subsec_nanos() / GRAIN * GRAIN);
        self.last = coarse.max(self.last.saturating_add(Duration::from_nanos(1)));
        Timestamp::new(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_grow_whatever_the_clock_does() {
        let mut stamper = Stamper::default();
        let noon = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let hour = Duration::from_secs(3600);
        let walls = [
            noon,
            noon,
            noon - hour,
            noon + hour,
            UNIX_EPOCH - hour,
            noon,
            noon + 2 * hour,
        ];
        let labels: Vec<_> = walls.iter().map(|wall| stamper.stamp(*wall)).collect();
        assert!(labels.is_sorted_by(|a, b| a < b), "{labels:?}");
    }

    /// The label of libtai's documentation, plus the ten seconds that TAI was ahead of UTC in 1970.
    #[test]
    fn the_base_is_that_of_tai64() {
        let label = Stamper::default().stamp(UNIX_EPOCH + Duration::from_secs(1));
        assert_eq!(label.bytes(), &[0x40, 0, 0, 0, 0, 0, 0, 0x0b, 0, 0, 0, 0]);
    }
}
