//! What waits for a session: bounded for each peer, and for all peers together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{QUEUE_BYTES, QUEUE_PACKETS};

/// Bytes that wait in all queues of one engine.
#[derive(Clone, Default)]
pub(crate) struct Budget(Arc<AtomicUsize>);

impl Budget {
    /// Bytes that wait now.
    pub fn used(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let enough = |used: usize| used.checked_add(bytes).filter(|used| *used <= QUEUE_BYTES);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough)
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Plain packets of one peer, oldest first.
pub(crate) struct Queue {
    packets: VecDeque<Vec<u8>>,
    budget: Budget,
}

impl Queue {
    pub fn new(budget: Budget) -> Self {
        Self {
            packets: VecDeque::new(),
            budget,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Takes a packet; says how many gave way: older ones of this peer, or this one when there is no room at all.
    pub fn push(&mut self, packet: &[u8]) -> u64 {
        let mut dropped = 0;
        while self.packets.len() >= QUEUE_PACKETS || !self.budget.take(packet.len()) {
            dropped += 1;
            match self.packets.pop_front() {
                Some(oldest) => self.budget.give_back(oldest.len()),
                None => return dropped,
            }
        }
        self.packets.push_back(packet.to_vec());
        dropped
    }

    /// Hands everything over and is empty.
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        let packets: Vec<_> = std::mem::take(&mut self.packets).into();
        self.budget.give_back(packets.iter().map(Vec::len).sum());
        packets
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.take();
    }
}
