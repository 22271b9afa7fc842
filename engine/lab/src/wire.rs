//! `cvlan-lab wire`: two interfaces joined by a wire that delays, loses and doubles packets, the same for the same seed.
//!
//! The interfaces are TUN: the kernel hands over whole IP packets with their checksums made, and each may be moved to
//! another network namespace while the wire holds it.

use crate::delay_queue::DelayQueue;
use crate::fate::{Fate, Fates, Impairment};
use crate::stop::stop_flag;
use cvlan_io::{Tun, Wake, wait_readable};
use cvlan_offload::{Offload, Vnet};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Largest packet of an interface.
const ROOM: usize = 1 << 16;
/// How often a signal is looked for.
const NOTICE: Duration = Duration::from_millis(50);
const MOST_MILLIS: f64 = 60_000.0;

#[derive(clap::Args)]
pub struct Options {
    /// The TUN interfaces to make, down and without addresses.
    #[arg(long, num_args = 2, value_names = ["LEFT", "RIGHT"], required = true)]
    ends: Vec<String>,
    /// Least time on the way, milliseconds.
    #[arg(long, default_value = "0", value_parser = millis)]
    delay_ms: Duration,
    /// Most time that is added to the delay, milliseconds; reorders.
    #[arg(long, default_value = "0", value_parser = millis)]
    jitter_ms: Duration,
    /// Probability that a packet is lost, 0 to 1.
    #[arg(long, default_value = "0", value_parser = probability)]
    loss: f64,
    /// Probability that a packet comes twice, 0 to 1.
    #[arg(long, default_value = "0", value_parser = probability)]
    duplicate: f64,
    /// Decides which packets these are.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Most packets under way in one direction; what comes then is lost.
    #[arg(long, default_value_t = 20_000)]
    queue: usize,
    /// Print what became of the packets, at the end.
    #[arg(long)]
    json: bool,
}

fn millis(text: &str) -> Result<Duration, String> {
    let value: Option<f64> = text.parse().ok().filter(|value| (0.0..=MOST_MILLIS).contains(value));
    value
        .map(|value| Duration::from_secs_f64(value / 1000.0))
        .ok_or_else(|| format!("is 0 to {MOST_MILLIS} milliseconds"))
}

fn probability(text: &str) -> Result<f64, String> {
    let value: Option<f64> = text.parse().ok().filter(|value| (0.0..=1.0).contains(value));
    value.ok_or_else(|| "is 0 to 1".to_owned())
}

/// What became of packets: `read` and `doubled` are together as many as all others and those still under way.
#[derive(Default)]
struct Counts {
    read: u64,
    lost: u64,
    doubled: u64,
    /// Lost because the queue was full.
    overflowed: u64,
    delivered: u64,
    /// Not taken by the interface, which is down.
    refused: u64,
}

struct State {
    queue: DelayQueue,
    fates: Fates,
    counts: Counts,
}

/// One direction.
struct Way<'a> {
    from: &'a Tun,
    to: &'a Tun,
    state: Mutex<State>,
    /// The queue has another packet on top.
    changed: Condvar,
    wake: Wake,
    ended: &'a AtomicBool,
}

/// Carries packets until SIGTERM or SIGINT.
///
/// # Errors
/// When an interface cannot be had, or breaks.
pub fn run(options: &Options, out: &mut impl Write) -> io::Result<()> {
    let [left, right] = options.ends.as_slice() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "--ends are two names"));
    };
    let stop = stop_flag()?;
    let make = |name: &str| Tun::create(name, Offload::None).map_err(io::Error::other);
    let (left, right) = (make(left)?, make(right)?);
    let ended = AtomicBool::new(false);
    let there = Way::new(options, 0, &left, &right, &ended)?;
    let back = Way::new(options, 1, &right, &left, &ended)?;
    writeln!(out, "{}", json!({ "wire": options.ends }))?;
    out.flush()?;
    let result = thread::scope(|scope| {
        let workers = [
            scope.spawn(|| there.ending(there.read())),
            scope.spawn(|| there.ending(there.write())),
            scope.spawn(|| back.ending(back.read())),
            scope.spawn(|| back.ending(back.write())),
        ];
        while !stop.load(Ordering::Relaxed) && !ended.load(Ordering::Relaxed) {
            thread::sleep(NOTICE);
        }
        ended.store(true, Ordering::Relaxed);
        there.end();
        back.end();
        workers
            .into_iter()
            .map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
            })
            .fold(Ok(()), Result::and)
    });
    if options.json {
        let line = json!({ "left_to_right": there.counted(), "right_to_left": back.counted() });
        writeln!(out, "{line}")?;
    }
    result
}

impl<'a> Way<'a> {
    fn new(options: &Options, way: u64, from: &'a Tun, to: &'a Tun, ended: &'a AtomicBool) -> io::Result<Self> {
        let impairment = Impairment {
            delay: options.delay_ms,
            jitter: options.jitter_ms,
            loss: options.loss,
            duplicate: options.duplicate,
        };
        Ok(Self {
            from,
            to,
            state: Mutex::new(State {
                queue: DelayQueue::new(options.queue),
                fates: Fates::new(impairment, options.seed, way),
                counts: Counts::default(),
            }),
            changed: Condvar::new(),
            wake: Wake::new()?,
            ended,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Wakes both threads, so that they see the end.
    fn end(&self) {
        self.wake.wake();
        let _between_looking_and_waiting = self.state();
        self.changed.notify_all();
    }

    /// Ends everything with one thread of it.
    fn ending(&self, result: io::Result<()>) -> io::Result<()> {
        self.ended.store(true, Ordering::Relaxed);
        result
    }

    fn read(&self) -> io::Result<()> {
        let mut room = vec![0; ROOM];
        while !self.ended() {
            wait_readable([self.from.as_fd(), self.wake.as_fd()], None)?;
            while let Some((_, length)) = self.from.read(&mut room)? {
                self.state()
                    .take(Instant::now(), room.get(..length).unwrap_or_default());
                self.changed.notify_one();
                if self.ended() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn write(&self) -> io::Result<()> {
        let mut state = self.state();
        while !self.ended() {
            let now = Instant::now();
            if let Some(packet) = state.queue.pop(now) {
                drop(state);
                let taken = self.to.write(Vnet::NONE, std::iter::once(packet.as_slice())).is_ok();
                state = self.state();
                state.counts.delivered += u64::from(taken);
                state.counts.refused += u64::from(!taken);
                continue;
            }
            let wait = state.queue.next_due().map(|due| due.saturating_duration_since(now));
            state = match wait {
                Some(wait) => {
                    let woken = self.changed.wait_timeout(state, wait);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        Ok(())
    }

    fn counted(&self) -> Value {
        let State { queue, counts, .. } = &*self.state();
        json!({
            "read": counts.read,
            "lost": counts.lost,
            "doubled": counts.doubled,
            "overflowed": counts.overflowed,
            "delivered": counts.delivered,
            "refused": counts.refused,
            "under_way": queue.len(),
        })
    }
}

impl State {
    /// Decides what becomes of a packet that was read now.
    fn take(&mut self, now: Instant, packet: &[u8]) {
        self.counts.read += 1;
        let delays = match self.fates.of(packet) {
            Fate::Lost => {
                self.counts.lost += 1;
                [None, None]
            }
            Fate::Once(delay) => [Some(delay), None],
            Fate::Twice(first, second) => {
                self.counts.doubled += 1;
                [Some(first), Some(second)]
            }
        };
        for delay in delays.into_iter().flatten() {
            let room = self.queue.push(now + delay, packet.to_vec());
            self.counts.overflowed += u64::from(!room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_is_counted_once_also_where_the_queue_is_full() {
        let impairment = Impairment {
            loss: 0.2,
            duplicate: 0.2,
            ..Impairment::default()
        };
        let mut state = State {
            queue: DelayQueue::new(50),
            fates: Fates::new(impairment, 1, 0),
            counts: Counts::default(),
        };
        for _ in 0..100 {
            state.take(Instant::now(), &[0x45; 20]);
        }
        let State { queue, counts, .. } = &state;
        assert!(counts.lost > 0 && counts.doubled > 0 && counts.overflowed > 0);
        let accounted = counts.lost + counts.overflowed + queue.len() as u64;
        assert_eq!((queue.len(), counts.read + counts.doubled), (50, accounted));
    }

    #[test]
    fn options_out_of_range_are_refused() {
        for text in ["-1", "60001", "NaN", "inf", "x"] {
            assert!(millis(text).is_err(), "{text}");
        }
        for text in ["-0.1", "1.1", "NaN", ""] {
            assert!(probability(text).is_err(), "{text}");
        }
        assert_eq!(millis("0.5"), Ok(Duration::from_micros(500)));
        assert_eq!(probability("1"), Ok(1.0));
    }
}
