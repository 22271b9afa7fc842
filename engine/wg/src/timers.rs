//! When which peer has to be looked at: one entry a peer, however many there are.

use crate::PeerId;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Nanoseconds since the state was made, plus one; 0 is never.
pub type Stamp = u64;

/// When a peer is looked at next. Written under the lock of [`Timers`] only.
pub struct Alarm(AtomicU64);

const NEVER: Stamp = Stamp::MAX;

impl Default for Alarm {
    fn default() -> Self {
        Self(AtomicU64::new(NEVER))
    }
}

/// The alarms of all peers in their order, and who sleeps until the first.
#[derive(Default)]
pub struct Timers(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    alarms: BTreeSet<(Stamp, PeerId)>,
    /// Until then nobody looks here; 0 while somebody is awake who will.
    asleep_until: Stamp,
    waker: Option<Waker>,
}

impl Timers {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom an alarm wakes that comes before the one that it sleeps until.
    pub fn set_waker(&self, waker: Option<Waker>) {
        self.lock().waker = waker;
    }

    /// Has a peer looked at no later than `at`. Cheap when it will be: threads of the data path call it.
    ///
    /// Who calls it has written before what the look is to find; [`Timers::due`] takes the alarm off before the look.
    /// The order of both is total, so that nothing falls between them.
    pub fn no_later_than(&self, id: PeerId, alarm: &Alarm, at: Stamp) {
        if alarm.0.load(Ordering::SeqCst) <= at {
            return;
        }
        let mut queue = self.lock();
        let former = alarm.0.load(Ordering::SeqCst);
        if former <= at {
            return;
        }
        queue.alarms.remove(&(former, id));
        queue.alarms.insert((at, id));
        alarm.0.store(at, Ordering::SeqCst);
        if at < queue.asleep_until {
            queue.asleep_until = 0;
            let waker = queue.waker.clone();
            drop(queue);
            waker.iter().for_each(Waker::wake_by_ref);
        }
    }

    /// Takes a peer out.
    pub fn forget(&self, id: PeerId, alarm: &Alarm) {
        let mut queue = self.lock();
        let at = alarm.0.swap(NEVER, Ordering::SeqCst);
        queue.alarms.remove(&(at, id));
    }

    /// Takes out the next entry whose time has come. Its peer, if it is still there, is to be forgotten and looked at.
    pub fn due(&self, now: Stamp) -> Option<PeerId> {
        let mut queue = self.lock();
        let entry = queue.alarms.first().copied().filter(|(at, _)| *at <= now)?;
        queue.alarms.remove(&entry);
        Some(entry.1)
    }

    /// When the next peer's time comes; who asks sleeps until then, and is woken for an alarm before.
    pub fn sleep(&self) -> Option<Stamp> {
        let mut queue = self.lock();
        let first = queue.alarms.first().map(|(at, _)| *at);
        queue.asleep_until = first.unwrap_or(NEVER);
        first
    }
}
