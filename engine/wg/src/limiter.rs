//! How many handshakes are worked on when there are too many: load measured by cost, and a token bucket per network.

use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The window in which the cost counts, in parts that are forgotten one by one.
const PARTS: usize = 10;
const PART: Duration = Duration::from_millis(100);
/// Share of one thread's time in the window above which senders must prove their address: a tenth.
const ENOUGH: Duration = Duration::from_millis(100);
/// Messages that wait, above which they must too, whatever they cost.
const ENOUGH_WAITING: usize = 128;
/// How long the load is believed to last after it was last seen.
const STICKY: Duration = Duration::from_secs(1);

/// A sender that proved its address gets one handshake in this time,
const PER_TOKEN: Duration = Duration::from_millis(50);
/// after this many at once.
const BURST: u32 = 5;
const SETS: usize = 1024;
const WAYS: usize = 4;

/// What the thread that runs handshakes saw since it last told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Time spent in [`crate::Wg::handshake`].
    pub spent: Duration,
    /// Handshake messages that wait for their turn.
    pub waiting: usize,
}

/// Fixed memory, whoever sends.
pub struct Limiter(Mutex<State>);

struct State {
    /// What was in each part of the window; the newest is the one `newest` falls into.
    parts: [Part; PARTS],
    newest: u128,
    /// What a message cost when the load began.
    typical: Duration,
    start: Instant,
    loaded_until: Option<Instant>,
    buckets: Buckets,
}

#[derive(Clone, Copy, Default)]
struct Part {
    /// Spent on messages, or spared by cookies.
    cost: Duration,
    /// Messages that were worked on without a proof.
    worked_on: u32,
}

impl Limiter {
    pub fn new(now: Instant, seed: [u64; 2]) -> Self {
        Self(Mutex::new(State {
            parts: [Part::default(); PARTS],
            newest: 0,
            typical: Duration::ZERO,
            start: now,
            loaded_until: None,
            buckets: Buckets::new(now, seed),
        }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes notice of what handshakes cost.
    pub fn report(&self, now: Instant, load: Load) {
        let mut state = self.state();
        state.add(now, load.spent, 0);
        let cost = state.parts.iter().map(|part| part.cost).sum::<Duration>();
        if cost > ENOUGH || load.waiting > ENOUGH_WAITING {
            if !state.is_loaded(now) {
                let worked_on: u32 = state.parts.iter().map(|part| part.worked_on).sum();
                state.typical = cost / worked_on.max(1);
            }
            state.loaded_until = now.checked_add(STICKY);
        }
    }

    /// Whether the sender of a message has to prove its address; it is worked on otherwise.
    pub fn wants_proof(&self, now: Instant) -> bool {
        let mut state = self.state();
        let loaded = state.is_loaded(now);
        if !loaded {
            state.add(now, Duration::ZERO, 1);
        }
        loaded
    }

    /// A message was answered with a cookie. It counts as what it would have cost, so that a flood stays one although it costs
    /// little now.
    pub fn spare(&self, now: Instant) {
        let mut state = self.state();
        let typical = state.typical;
        state.add(now, typical, 0);
    }

    /// Whether a sender that proved its address may have another handshake.
    pub fn admit(&self, now: Instant, from: IpAddr) -> bool {
        self.state().buckets.take(now, from)
    }
}

impl State {
    fn is_loaded(&self, now: Instant) -> bool {
        self.loaded_until.is_some_and(|until| now < until)
    }

    fn add(&mut self, now: Instant, cost: Duration, worked_on: u32) {
        self.forget(now);
        if let Some(part) = self.parts.first_mut() {
            part.cost = part.cost.saturating_add(cost);
            part.worked_on = part.worked_on.saturating_add(worked_on);
        }
    }

    /// Moves the window on to `now`.
    fn forget(&mut self, now: Instant) {
        let number = now.saturating_duration_since(self.start).as_nanos() / PART.as_nanos();
        let steps = usize::try_from(number.saturating_sub(self.newest))
            .unwrap_or(PARTS)
            .min(PARTS);
        self.newest = self.newest.max(number);
        self.parts.rotate_right(steps);
        self.parts
            .iter_mut()
            .take(steps)
            .for_each(|part| *part = Part::default());
    }
}

/// Token buckets of /32 and /64 networks. Set-associative: a network can only push out those that fall into its set, and
/// nobody can tell which these are.
struct Buckets {
    seed: [u64; 2],
    start: Instant,
    sets: Box<[[Bucket; WAYS]]>,
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    /// Hash of the network; 0 is nobody.
    owner: u64,
    /// Nanoseconds since the start at which the bucket will be full.
    full_at: u64,
}

impl Buckets {
    fn new(now: Instant, seed: [u64; 2]) -> Self {
        Self {
            seed,
            start: now,
            sets: vec![[Bucket::default(); WAYS]; SETS].into_boxed_slice(),
        }
    }

    fn owner(&self, from: IpAddr) -> u64 {
        let [k0, k1] = self.seed;
        let mut hasher = SipHasher13::new_with_keys(k0, k1);
        match from.to_canonical() {
            IpAddr::V4(ip) => hasher.write(&ip.octets()),
            IpAddr::V6(ip) => hasher.write_u64((ip.to_bits() >> 64) as u64),
        }
        hasher.finish().max(1)
    }

    fn take(&mut self, now: Instant, from: IpAddr) -> bool {
        let owner = self.owner(from);
        let now = u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX);
        let per_token = u64::try_from(PER_TOKEN.as_nanos()).unwrap_or(u64::MAX);
        let Some(set) = usize::try_from(owner % SETS as u64)
            .ok()
            .and_then(|at| self.sets.get_mut(at))
        else {
            return false;
        };
        let bucket = match set.iter_mut().position(|bucket| bucket.owner == owner) {
            Some(at) => set.get_mut(at),
            // The fullest gives way, and what it lacked is lacking still: many networks together get no more than it.
            None => set.iter_mut().min_by_key(|bucket| bucket.full_at),
        };
        let Some(bucket) = bucket else { return false };
        bucket.owner = owner;
        let full_at = bucket.full_at.max(now).saturating_add(per_token);
        let may = full_at - now <= per_token * u64::from(BURST);
        if may {
            bucket.full_at = full_at;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn admitted(limiter: &Limiter, now: Instant, from: IpAddr, tries: usize) -> usize {
        (0..tries).filter(|_| limiter.admit(now, from)).count()
    }

    #[test]
    fn a_network_gets_five_at_once_and_twenty_a_second() {
        let start = Instant::now();
        let limiter = Limiter::new(start, [1, 2]);
        let v4 = "192.0.2.1".parse().unwrap();
        assert_eq!(admitted(&limiter, start, v4, 100), 5);
        let second = (1..=100).map(|tick| admitted(&limiter, start + Duration::from_millis(10 * tick), v4, 3));
        assert_eq!(second.sum::<usize>(), 20);
        let in64 = |host: u64| IpAddr::from(Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) | u128::from(host)));
        let one64: usize = (0..100).map(|host| admitted(&limiter, start, in64(host), 1)).sum();
        assert_eq!(one64, 5, "a /64 is one network");
        assert_eq!(admitted(&limiter, start, "2001:db8:0:1::1".parse().unwrap(), 100), 5);
    }

    #[test]
    fn many_networks_get_no_more_than_the_table_holds() {
        let start = Instant::now();
        let limiter = Limiter::new(start, [3, 4]);
        let all: usize = (0..60_000u32)
            .map(|n| admitted(&limiter, start, Ipv4Addr::from_bits(n).into(), 5))
            .sum();
        assert!(all <= SETS * WAYS * 5, "{all}");
    }

    #[test]
    fn load_is_what_it_costs_in_a_second_and_passes() {
        let start = Instant::now();
        let limiter = Limiter::new(start, [5, 6]);
        let spend = |at, micros| {
            limiter.report(
                start + Duration::from_millis(at),
                Load {
                    spent: Duration::from_micros(micros),
                    waiting: 0,
                },
            );
            limiter.state().is_loaded(start + Duration::from_millis(at))
        };
        assert!((0..30).all(|turn| !spend(turn * 100, 9_000)), "nine of a hundred");
        assert!((30..45).any(|turn| spend(turn * 100, 12_000)), "twelve of a hundred");
        assert!(!limiter.state().is_loaded(start + Duration::from_secs(6)));
        assert!(!spend(7_000, 0));
        let waiting = ENOUGH_WAITING + 1;
        limiter.report(
            start + Duration::from_secs(8),
            Load {
                waiting,
                ..Load::default()
            },
        );
        assert!(limiter.state().is_loaded(start + Duration::from_secs(8)));
    }

    /// Cookies make a flood cheap; were it over with that, half of it would be worked on after all.
    #[test]
    fn a_flood_is_one_until_it_ends() {
        let start = Instant::now();
        let limiter = Limiter::new(start, [7, 8]);
        let mut proofs = Vec::new();
        // 5,000 a second, of 25 µs each.
        for message in 0..50_000u64 {
            let now = start + Duration::from_micros(200 * message);
            let spent = if limiter.wants_proof(now) {
                limiter.spare(now);
                proofs.push(message);
                1
            } else {
                25
            };
            let spent = Duration::from_micros(spent);
            limiter.report(now, Load { spent, waiting: 0 });
        }
        let first = *proofs.first().unwrap();
        assert!((4_000..4_010).contains(&first), "a tenth of a second's work: {first}");
        assert_eq!(proofs.len() as u64, 50_000 - first, "from then on of everybody");
        assert!(!limiter.wants_proof(start + Duration::from_secs(13)));
    }
}
