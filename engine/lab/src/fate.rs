//! What becomes of each packet on an impaired wire; the same for the same seed.

use std::time::Duration;

/// The protocol numbers of IPv4, then those of IPv6.
const LANES: u64 = 512;
/// Increment of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// How a wire treats packets, in each direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Impairment {
    /// Least time on the way.
    pub delay: Duration,
    /// Most time that is added to the delay, each as likely as any other; packets that meet thus change their order.
    pub jitter: Duration,
    /// Probability that a packet is lost, 0 to 1.
    pub loss: f64,
    /// Probability that a packet that is not lost comes twice, 0 to 1.
    pub duplicate: f64,
}

/// How long each copy of a packet is on the way: none when it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Lost,
    Once(Duration),
    Twice(Duration, Duration),
}

/// Decides in the order of the packets. Each protocol has a sequence of its own, so that what the kernel says on a wire
/// by itself (neighbour discovery, multicast reports) does not move the fates of what a test sends.
pub struct Fates {
    impairment: Impairment,
    lanes: Vec<SplitMix>,
}

impl Fates {
    /// `way` tells the directions of one wire apart.
    pub fn new(impairment: Impairment, seed: u64, way: u64) -> Self {
        let mut seeds = SplitMix(SplitMix(seed).next() ^ SplitMix(!way).next());
        Self {
            impairment,
            lanes: (0..LANES).map(|_| SplitMix(seeds.next())).collect(),
        }
    }

    pub fn of(&mut self, packet: &[u8]) -> Fate {
        let Impairment {
            delay,
            jitter,
            loss,
            duplicate,
        } = self.impairment;
        let Some(lane) = self.lanes.get_mut(lane_of(packet)) else {
            return Fate::Lost;
        };
        // All are drawn for each packet: another jitter leaves it as it is which packets are lost.
        let [lost, twice, first, second] = [(); 4].map(|()| lane.fraction());
        let after = |fraction| delay + jitter.mul_f64(fraction);
        if lost < loss {
            Fate::Lost
        } else if twice < duplicate {
            Fate::Twice(after(first), after(second))
        } else {
            Fate::Once(after(first))
        }
    }
}

fn lane_of(packet: &[u8]) -> usize {
    let byte = |at: usize| packet.get(at).copied().map_or(0, usize::from);
    match byte(0) >> 4 {
        6 => 256 + byte(6),
        _ => byte(9),
    }
}

struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1, by the 53 bits that a double holds.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDP: [u8; 20] = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const PACKETS: usize = 10_000;

    fn impairment() -> Impairment {
        Impairment {
            delay: Duration::from_millis(25),
            jitter: Duration::from_millis(10),
            loss: 0.1,
            duplicate: 0.02,
        }
    }

    fn fates(seed: u64, way: u64) -> Vec<Fate> {
        let mut fates = Fates::new(impairment(), seed, way);
        (0..PACKETS).map(|_| fates.of(&UDP)).collect()
    }

    #[test]
    fn a_seed_decides_everything_and_another_seed_or_way_otherwise() {
        assert_eq!(fates(7, 0), fates(7, 0));
        assert_ne!(fates(7, 0), fates(8, 0));
        assert_ne!(fates(7, 0), fates(7, 1));
    }

    #[test]
    fn as_many_are_lost_and_doubled_as_was_asked_and_none_is_early_or_late() {
        let all = fates(1, 0);
        let share = |wanted: fn(&Fate) -> bool| all.iter().filter(|fate| wanted(fate)).count() as f64 / PACKETS as f64;
        assert!((0.09..0.11).contains(&share(|fate| *fate == Fate::Lost)));
        assert!((0.01..0.03).contains(&share(|fate| matches!(fate, Fate::Twice(..)))));
        let bounds = Duration::from_millis(25)..=Duration::from_millis(35);
        for fate in all {
            match fate {
                Fate::Lost => {}
                Fate::Once(delay) => assert!(bounds.contains(&delay)),
                Fate::Twice(first, second) => assert!(bounds.contains(&first) && bounds.contains(&second)),
            }
        }
    }

    #[test]
    fn other_protocols_do_not_move_the_fates_of_one() {
        let mut disturbed = Fates::new(impairment(), 7, 0);
        let mut icmp6 = [0; 40];
        (icmp6[0], icmp6[6]) = (0x60, 58);
        let seen: Vec<Fate> = (0..PACKETS)
            .map(|_| {
                disturbed.of(&icmp6);
                disturbed.of(&[]);
                disturbed.of(&UDP)
            })
            .collect();
        assert_eq!(seen, fates(7, 0));
    }

    #[test]
    fn certain_loss_and_no_loss_are_what_they_say() {
        for (loss, fate) in [(1.0, Fate::Lost), (0.0, Fate::Once(Duration::ZERO))] {
            let certain = Impairment {
                loss,
                ..Impairment::default()
            };
            let mut fates = Fates::new(certain, 3, 0);
            assert!((0..PACKETS).all(|_| fates.of(&UDP) == fate));
        }
    }
}
