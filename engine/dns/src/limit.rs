//! How many queries a second are looked at.

use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(1);

/// Counts in windows of a second.
#[derive(Debug)]
pub(crate) struct Limit {
    most: u32,
    began: Option<Instant>,
    seen: u32,
}

impl Limit {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most,
            began: None,
            seen: 0,
        }
    }

    /// True when one more may pass.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        if self
            .began
            .is_none_or(|began| now.saturating_duration_since(began) >= WINDOW)
        {
            self.began = Some(now);
            self.seen = 0;
        }
        self.seen = self.seen.saturating_add(1);
        self.seen <= self.most
    }
}
