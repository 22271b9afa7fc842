//! Packets under way, the one that is due first on top.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Instant;

struct UnderWay {
    due: Instant,
    /// Packets that are due at once leave in the order in which they came.
    order: u64,
    packet: Vec<u8>,
}

impl UnderWay {
    fn key(&self) -> (Instant, u64) {
        (self.due, self.order)
    }
}

impl PartialEq for UnderWay {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for UnderWay {}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for UnderWay {
    /// The heap's greatest is the one that leaves first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

/// A bounded heap by due time.
pub struct DelayQueue {
    heap: BinaryHeap<UnderWay>,
    most: usize,
    pushed: u64,
}

impl DelayQueue {
    /// A queue for at most so many packets.
    pub fn new(most: usize) -> Self {
        Self {
            heap: BinaryHeap::new(),
            most,
            pushed: 0,
        }
    }

    /// False when it is full: the packet is lost then.
    pub fn push(&mut self, due: Instant, packet: Vec<u8>) -> bool {
        if self.heap.len() >= self.most {
            return false;
        }
        self.heap.push(UnderWay {
            due,
            order: self.pushed,
            packet,
        });
        self.pushed += 1;
        true
    }

    /// When the next one leaves.
    pub fn next_due(&self) -> Option<Instant> {
        self.heap.peek().map(|first| first.due)
    }

    /// The next one that has to leave by `now`.
    pub fn pop(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.next_due().filter(|due| *due <= now)?;
        self.heap.pop().map(|first| first.packet)
    }

    pub fn len(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn packets_leave_by_due_time_then_by_arrival_and_never_early() {
        let begin = Instant::now();
        let mut queue = DelayQueue::new(10);
        for (millis, name) in [(20, b'c'), (10, b'a'), (10, b'b'), (30, b'd')] {
            assert!(queue.push(begin + Duration::from_millis(millis), vec![name]));
        }
        assert_eq!(queue.pop(begin + Duration::from_millis(9)), None);
        let now = begin + Duration::from_millis(20);
        let left: Vec<u8> = std::iter::from_fn(|| queue.pop(now)).flatten().collect();
        assert_eq!(left, b"abc");
        assert_eq!(queue.next_due(), Some(begin + Duration::from_millis(30)));
    }

    #[test]
    fn a_full_queue_takes_no_more() {
        let mut queue = DelayQueue::new(2);
        let taken = [1, 2, 3].map(|byte| queue.push(Instant::now(), vec![byte]));
        assert_eq!((taken, queue.len()), ([true, true, false], 2));
    }
}
