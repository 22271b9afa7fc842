//! A path in virtual time.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

const V4: Bounds = Bounds {
    least: 516,
    base: 1280,
    most: 1420,
};
const MILLISECOND: Duration = Duration::from_millis(1);

/// What lies between, and who is at the other end.
struct World {
    now: Instant,
    search: Search,
    carries: u16,
    out: bool,
    answers: bool,
    takes: Duration,
    /// Probes of a hundred that are lost whatever their size.
    loss: u64,
    dice: u64,
    busy: bool,
    coming: VecDeque<(Instant, u32)>,
    sent: Vec<(Instant, Probe)>,
}

impl World {
    fn new(bounds: Bounds, carries: u16) -> Self {
        let now = Instant::now();
        Self {
            now,
            search: Search::new(bounds, true, now),
            carries,
            out: false,
            answers: true,
            takes: Duration::from_millis(20),
            loss: 0,
            dice: 1,
            busy: true,
            coming: VecDeque::new(),
            sent: Vec::new(),
        }
    }

    fn is_lost(&mut self) -> bool {
        // Knuth, TAOCP volume 2, 3.3.4.
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.dice >> 33) % 100 < self.loss
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            if self.busy {
                self.search.used();
            }
            while self.coming.front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, id) = self.coming.pop_front().unwrap();
                self.search.answered(id, self.now);
            }
            let mut probes = Vec::new();
            self.search.poll(self.now, &mut probes);
            for probe in probes {
                self.sent.push((self.now, probe));
                let lost = self.is_lost();
                if self.answers && !self.out && !lost && probe.size <= self.carries {
                    self.coming.push_back((self.now + self.takes, probe.id));
                }
            }
            assert!((self.search.bounds.least..=self.search.bounds.most).contains(&self.search.limit()));
            let arrival = self.coming.front().map(|(at, _)| *at);
            let due = [self.search.next(), arrival].into_iter().flatten().min();
            let step = if self.busy { self.now + 500 * MILLISECOND } else { end };
            self.now = due.unwrap_or(step).min(step).max(self.now + MILLISECOND).min(end);
        }
    }

    fn seconds(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    fn found(&self) -> bool {
        let limit = self.search.limit();
        let carries = self.carries.clamp(self.search.bounds.least, self.search.bounds.most);
        limit <= carries && carries - limit < STEP
    }
}

#[test]
fn a_path_that_carries_everything_is_confirmed_by_one_probe() {
    let mut world = World::new(V4, 1500);
    assert_eq!((world.search.limit(), world.search.state()), (1420, State::Base));
    world.seconds(1);
    assert_eq!((world.search.limit(), world.search.state()), (1420, State::Complete));
    assert!(world.search.is_confirmed());
    let sizes: Vec<u16> = world.sent.iter().map(|(_, probe)| probe.size).collect();
    assert_eq!(sizes, [1420, 0]);
}

#[test]
fn who_sends_nothing_is_sent_nothing() {
    let mut world = World::new(V4, 1300);
    world.busy = false;
    world.seconds(86_400);
    assert!(world.sent.is_empty());
    world.busy = true;
    world.seconds(60);
    world.busy = false;
    world.seconds(10);
    let before = world.sent.len();
    world.seconds(86_400);
    assert_eq!(world.sent.len(), before);
    assert!(world.found());
}

#[test]
fn a_black_hole_in_a_stream_is_left_within_seconds_and_the_size_grows_when_it_is_lifted() {
    let mut world = World::new(V4, 1500);
    world.seconds(100);
    assert_eq!(world.search.limit(), 1420);
    world.carries = 1333;
    world.seconds(6);
    assert!(world.search.limit() <= 1333);
    world.seconds(4);
    assert!(world.found(), "{:?}", world.search);
    assert_eq!((world.search.state(), world.search.black_holes()), (State::Complete, 1));
    world.carries = 1500;
    world.seconds(40);
    assert_eq!(world.search.limit(), 1420);
}

#[test]
fn a_path_that_stays_narrow_is_tried_less_and_less_often() {
    let mut world = World::new(V4, 1300);
    world.seconds(7200);
    let raises = world.sent.iter().filter(|(_, probe)| probe.size == 1420).count();
    assert!((3 * 8..=3 * 18).contains(&raises), "{raises}");
    assert!(world.found());
}

#[test]
fn an_outage_is_no_black_hole() {
    let mut world = World::new(V4, 1500);
    world.seconds(10);
    world.out = true;
    world.sent.clear();
    world.seconds(600);
    assert_eq!((world.search.limit(), world.search.black_holes()), (1420, 0));
    assert!(world.sent.len() < 300, "{}", world.sent.len());
    world.out = false;
    world.seconds(60);
    assert!(world.search.state() == State::Complete && world.search.is_confirmed());
}

#[test]
fn a_peer_that_answers_nothing_is_asked_every_ten_minutes() {
    let mut world = World::new(V4, 1300);
    world.answers = false;
    world.seconds(30);
    assert_eq!((world.search.limit(), world.search.state()), (1420, State::Disabled));
    assert_eq!(world.sent.len(), 2 * usize::from(SILENT));
    world.seconds(1300);
    assert_eq!(world.sent.len(), 3 * 2 * usize::from(SILENT));
    // It was upgraded.
    world.answers = true;
    world.seconds(620);
    assert!(world.found());
}

#[test]
fn what_the_kernel_was_told_holds_at_once_and_for_ten_minutes() {
    for probing in [true, false] {
        let mut world = World::new(V4, 1350);
        world.search = Search::new(V4, probing, world.now);
        if probing {
            world.carries = 1500;
            world.seconds(10);
            world.carries = 1350;
        }
        world.search.narrow(1352, world.now);
        assert_eq!(world.search.limit(), 1352);
        assert_eq!(world.search.black_holes(), 0);
        world.carries = 1352;
        world.seconds(500);
        assert_eq!(world.search.limit(), 1352);
        world.carries = 1500;
        world.seconds(120);
        assert_eq!(world.search.limit(), 1420, "probing {probing}");
        assert!(probing || world.sent.is_empty());
        world.search.narrow(0, world.now);
        assert_eq!(world.search.limit(), 516);
    }
}

#[test]
fn another_path_is_searched_anew() {
    let mut world = World::new(V4, 1300);
    world.seconds(10);
    assert!(world.found());
    let wide = Bounds { least: 1200, ..V4 };
    world.carries = 1500;
    world.search.restart(wide, true, world.now);
    assert_eq!(world.search.limit(), 1420);
    world.seconds(1);
    assert_eq!((world.search.state(), world.search.limit()), (State::Complete, 1420));
}

#[test]
fn a_path_below_the_base_size_is_an_error_and_used_as_it_is() {
    let mut world = World::new(V4, 1000);
    world.seconds(20);
    assert!(world.found());
    assert_eq!(world.search.state(), State::Error);
    world.carries = 100;
    world.seconds(20);
    assert_eq!(world.search.limit(), 516);
    world.sent.clear();
    world.seconds(600);
    assert!(world.sent.len() < 1500, "{}", world.sent.len());
}

#[derive(Clone, Debug)]
enum Step {
    Carries(u16),
    Out(bool),
    Busy(bool),
    Answers(bool),
    Takes(u64),
    Narrow(u16),
    Answer(u32),
    Restart(bool),
    Run(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (400u16..1600).prop_map(Step::Carries),
        any::<bool>().prop_map(Step::Out),
        any::<bool>().prop_map(Step::Busy),
        any::<bool>().prop_map(Step::Answers),
        (0u64..3000).prop_map(Step::Takes),
        any::<u16>().prop_map(Step::Narrow),
        any::<u32>().prop_map(Step::Answer),
        (0u32..50).prop_map(Step::Answer),
        any::<bool>().prop_map(Step::Restart),
        (1u64..100_000).prop_map(Step::Run),
        (1u64..100_000).prop_map(Step::Run),
    ]
}

proptest! {
    #[test]
    fn whatever_a_path_carries_is_found(carries in 516u16..2000, takes in 0u64..400, loss in 0u64..10, dice: u64, most in 1280u16..9000) {
        let mut world = World::new(Bounds { most, ..V4 }, carries);
        (world.takes, world.loss, world.dice) = (Duration::from_millis(takes), loss, dice);
        // Of a trial three of a hundred thousand are lost to chance, which ends as soon as the size is tried again.
        let found = (0..30).any(|_| {
            world.seconds(30);
            world.found()
        });
        prop_assert!(found, "{:?}", world.search);
    }

    #[test]
    fn every_fall_is_noticed_in_time(from in 600u16..1500, by in 10u16..900, takes in 1u64..300, after in 0u64..10_000) {
        let mut world = World::new(V4, from);
        world.takes = Duration::from_millis(takes);
        world.seconds(30);
        world.run(Duration::from_millis(after));
        world.carries = from.saturating_sub(by).max(516);
        // An interval, the trial, the same for the base size, and for what lies below.
        world.seconds(14);
        prop_assert!(world.search.limit() <= world.carries, "{:?}", world.search);
        world.seconds(30);
        prop_assert!(world.found(), "{:?}", world.search);
    }

    #[test]
    fn whatever_happens_probes_are_few_and_sizes_in_bounds(steps in proptest::collection::vec(step(), 0..60)) {
        let mut world = World::new(V4, 1500);
        let start = world.now;
        for step in steps {
            match step {
                Step::Carries(size) => world.carries = size,
                Step::Out(out) => world.out = out,
                Step::Busy(busy) => world.busy = busy,
                Step::Answers(answers) => world.answers = answers,
                Step::Takes(millis) => {
                    world.takes = Duration::from_millis(millis);
                    world.coming.clear();
                }
                Step::Narrow(limit) => world.search.narrow(limit, world.now),
                Step::Answer(id) => world.search.answered(id, world.now),
                Step::Restart(probing) => world.search.restart(V4, probing, world.now),
                Step::Run(millis) => world.run(Duration::from_millis(millis)),
            }
        }
        // Two together, ten times a second at most, and usually far fewer.
        let time = world.now.saturating_duration_since(start).as_millis();
        prop_assert!(world.sent.len() as u128 <= 200 + time / 40, "{} in {time} ms", world.sent.len());
    }
}
