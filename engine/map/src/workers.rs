//! Who does what can be done side by side.

/// Runs jobs that do not depend on one another. The map has no threads of its own; who has some lends them.
pub trait Workers: Send + Sync {
    /// Runs `job` with each number below `count`, in any order, and returns when all are done.
    fn run(&self, count: usize, job: &(dyn Fn(usize) + Sync));
}

/// Runs one job after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct InTurn;

impl Workers for InTurn {
    fn run(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(job);
    }
}
