//! A rule in force, and how often it decided.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cvlan_wire::Rule;

use crate::Direction;

/// A rule with its counts. The counts go from one policy to the next with the id of the rule.
#[derive(Debug)]
pub(crate) struct Entry {
    pub rule: Arc<Rule>,
    hits: Arc<Hits>,
    /// Lists that the rule is in; 0 when it is looked at by itself.
    pub lists: usize,
}

/// One lane a direction: two threads count at the same time and must not wait for each other's cache line.
#[derive(Debug, Default)]
struct Hits {
    outbound: Lane,
    inbound: Lane,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Lane {
    packets: AtomicU64,
    bytes: AtomicU64,
}

/// What a rule decided since it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCount {
    /// Packets that it allowed, by itself or as packets of a flow that it allowed, or denied. Segments that the host gave
    /// or takes as one packet count as one.
    pub packets: u64,
    /// Bytes of these, by their IP headers.
    pub bytes: u64,
}

impl Entry {
    /// `former` is the entry of the same id in the policy before.
    pub(crate) fn new(rule: Arc<Rule>, lists: usize, former: Option<&Entry>) -> Self {
        Self {
            rule,
            hits: former.map(|former| former.hits.clone()).unwrap_or_default(),
            lists,
        }
    }

    pub(crate) fn count(&self, direction: Direction, bytes: usize) {
        self.count_many(direction, 1, bytes as u64);
    }

    pub(crate) fn count_many(&self, direction: Direction, packets: u64, bytes: u64) {
        let lane = match direction {
            Direction::Outbound => &self.hits.outbound,
            Direction::Inbound => &self.hits.inbound,
        };
        lane.packets.fetch_add(packets, Ordering::Relaxed);
        lane.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn counted(&self) -> RuleCount {
        let lanes = [&self.hits.outbound, &self.hits.inbound];
        let sum = |of: fn(&Lane) -> &AtomicU64| lanes.iter().map(|lane| of(lane).load(Ordering::Relaxed)).sum();
        RuleCount {
            packets: sum(|lane| &lane.packets),
            bytes: sum(|lane| &lane.bytes),
        }
    }
}
