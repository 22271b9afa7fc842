//! Threads for what can be done side by side.

use cvlan_map::Workers;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Threads at most; the packets of the data path have the same processors.
const MOST: usize = 4;

/// Runs jobs on as many threads as there are processors, [`MOST`] at most, the caller's being one of them.
pub struct Threads;

impl Workers for Threads {
    fn run(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return;
                }
                job(index);
            }
        };
        let threads = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(MOST)
            .min(count);
        thread::scope(|scope| {
            for _ in 1..threads {
                let helper = thread::Builder::new().name("cvlan-verify".to_owned());
                // With fewer threads it takes longer, and that is all.
                let _ = helper.spawn_scoped(scope, work);
            }
            work();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn each_job_is_done_once() {
        for count in [0, 1, 3, 1000] {
            let done = Mutex::new(vec![0; count]);
            Threads.run(count, &|index| done.lock().unwrap()[index] += 1);
            assert_eq!(done.into_inner().unwrap(), vec![1; count]);
        }
    }
}
