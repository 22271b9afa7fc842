//! Short turns on a processor while packets come one by one, so that none waits long beside threads that are busy; the
//! system's own while they come in masses, when each end of a turn costs more than it brings.

use cvlan_io::set_slice;
use std::time::Duration;

const SHORT: Duration = Duration::from_micros(100);
/// Packets of one turn that are a mass.
const MASS: usize = 8;
/// Turns with less after which no mass is expected.
const CALM: u32 = 32;

/// What the calling thread asked for.
pub struct Prompt {
    short: bool,
    calm: u32,
}

impl Prompt {
    /// For the calling thread, which it stays with. Asks for short turns.
    pub fn new() -> Self {
        ask(Some(SHORT));
        Self { short: true, calm: 0 }
    }

    /// After each turn: how many packets it had.
    pub fn worked(&mut self, packets: usize) {
        if packets >= MASS {
            self.calm = 0;
            if std::mem::take(&mut self.short) {
                ask(None);
            }
        } else if !self.short {
            self.calm += 1;
            if self.calm >= CALM {
                self.short = true;
                ask(Some(SHORT));
            }
        }
    }
}

/// Packets flow without it where it is forbidden.
fn ask(slice: Option<Duration>) {
    let _ = set_slice(slice);
}
