//! What the resolver counts. Each count only grows; the names are part of the contract.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts, shared with whoever tells them.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages that came from this host.
    pub queries: AtomicU64,
    /// Answered from the map: names that are there, and names of the overlay that are not.
    pub answered_zone: AtomicU64,
    /// Answered from memory.
    pub answered_cache: AtomicU64,
    /// Answered by an upstream.
    pub answered_upstream: AtomicU64,
    /// REFUSED or NOTIMP: nobody to ask, a zone transfer, another class or operation.
    pub refused: AtomicU64,
    /// SERVFAIL: no upstream answered.
    pub failed: AtomicU64,
    /// No DNS query; answered FORMERR when it has a header.
    pub malformed: AtomicU64,
    /// Sent shortened: the asker repeats over TCP.
    pub truncated: AtomicU64,
    /// Dropped: more than [`crate::MAX_RATE`] in a second.
    pub dropped_rate: AtomicU64,
    /// Gave way to newer ones while waiting for an upstream.
    pub dropped_queue: AtomicU64,
    /// Questions to upstreams.
    pub upstream_queries: AtomicU64,
    /// Questions that an upstream did not answer in time, or not usably.
    pub upstream_failures: AtomicU64,
    /// Messages to the port of a question that are not its answer.
    pub upstream_mismatched: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    /// All counts by their stable name.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 13] {
        [
            ("dns_queries", &self.queries),
            ("dns_answered_zone", &self.answered_zone),
            ("dns_answered_cache", &self.answered_cache),
            ("dns_answered_upstream", &self.answered_upstream),
            ("dns_refused", &self.refused),
            ("dns_failed", &self.failed),
            ("dns_malformed", &self.malformed),
            ("dns_truncated", &self.truncated),
            ("dns_dropped_rate", &self.dropped_rate),
            ("dns_dropped_queue", &self.dropped_queue),
            ("dns_upstream_queries", &self.upstream_queries),
            ("dns_upstream_failures", &self.upstream_failures),
            ("dns_upstream_mismatched", &self.upstream_mismatched),
        ]
        .map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
    }
}
