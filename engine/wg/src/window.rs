//! The replay window of a session: whitepaper, section 5.4.6; RFC 6479.

/// Words of the window in use: 8192 counters, and one word that is being entered.
pub const WORDS: usize = 129;
/// How far behind the greatest counter a packet may be.
#[cfg(test)]
const WINDOW: u64 = size_of_words(WORDS);

const fn size_of_words(words: usize) -> u64 {
    (words as u64 - 1) * 64
}

/// Which counters were seen, of the last `(WORDS - 1) * 64`.
pub struct Window<const W: usize> {
    /// One past the greatest counter seen.
    next: u64,
    words: Words<W>,
}

/// Bits of counters that were seen.
enum Words<const W: usize> {
    /// Of the first 64 counters alone: more than a session carries that only keeps its path open, and most do no more.
    First(u64),
    /// A ring; the word of a counter is `counter / 64` modulo `W`.
    Ring(Box<[u64; W]>),
}

impl<const W: usize> Window<W> {
    const SIZE: u64 = size_of_words(W);

    pub fn new() -> Self {
        Self {
            next: 0,
            words: Words::First(0),
        }
    }

    /// What [`Window::tell`] told; `None` when it was told of a window of another size.
    pub fn restore(next: u64, words: &[u64]) -> Option<Self> {
        let words = match words {
            [first] if next <= 64 => Words::First(*first),
            ring => Words::Ring(Box::new(ring.try_into().ok()?)),
        };
        Some(Self { next, words })
    }

    /// One past the greatest counter seen, and the ring, or its first word alone while there is no ring.
    pub fn tell(&self) -> (u64, Vec<u64>) {
        let words = match &self.words {
            Words::First(word) => vec![*word],
            Words::Ring(ring) => ring.to_vec(),
        };
        (self.next, words)
    }

    /// True once for each counter, and never for one that fell behind the window. Called with authentic counters below
    /// [`crate::session::REJECT_AFTER_MESSAGES`] only, by one thread at a time: to look and to note are one step.
    pub fn accept(&mut self, counter: u64) -> bool {
        if counter >= self.next {
            self.advance(counter);
        } else if self.next - counter > Self::SIZE {
            return false;
        }
        let bit = 1u64 << (counter % 64);
        let Some(word) = self.word(counter / 64) else {
            return false;
        };
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    /// Clears the words that come into the window.
    fn advance(&mut self, counter: u64) {
        let (from, to) = (self.next.div_ceil(64), counter / 64);
        if to >= from {
            let fresh = (to - from).saturating_add(1).min(W as u64);
            for step in 0..fresh {
                if let Some(word) = self.word(to - step) {
                    *word = 0;
                }
            }
        }
        self.next = counter.saturating_add(1);
    }

    fn word(&mut self, number: u64) -> Option<&mut u64> {
        if let (Words::First(first), 1..) = (&self.words, number) {
            let mut ring = Box::new([0; W]);
            *ring.first_mut()? = *first;
            self.words = Words::Ring(ring);
        }
        match &mut self.words {
            Words::First(word) => Some(word),
            Words::Ring(ring) => ring.get_mut(usize::try_from(number % W as u64).ok()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// What a window is, without any economy.
    #[derive(Default)]
    struct Model {
        seen: HashSet<u64>,
        greatest: Option<u64>,
    }

    impl Model {
        fn accept(&mut self, counter: u64, size: u64) -> bool {
            if self
                .greatest
                .is_some_and(|greatest| greatest >= counter && greatest - counter >= size)
            {
                return false;
            }
            self.greatest = self.greatest.max(Some(counter));
            self.seen.insert(counter)
        }
    }

    /// All sequences of five counters out of those where the ring of two words can go wrong: the edges of words and of
    /// the window, at the start, after a turn of the ring, and at the end of the counters.
    #[test]
    fn a_small_window_is_the_model_in_every_sequence() {
        const W: usize = 2;
        for base in [0u64, 128, u64::MAX - 8192 - 260] {
            let edges: Vec<u64> = [0, 1, 63, 64, 65, 127, 128, 129, 191, 192, 255, 256]
                .iter()
                .map(|offset| base + offset)
                .collect();
            let mut sequence = [0usize; 5];
            loop {
                let (mut window, mut model) = (Window::<W>::new(), Model::default());
                for &at in &sequence {
                    let counter = edges[at];
                    assert_eq!(
                        window.accept(counter),
                        model.accept(counter, 64),
                        "{sequence:?} of {edges:?}"
                    );
                }
                let Some(place) = sequence.iter().position(|&at| at + 1 < edges.len()) else {
                    break;
                };
                sequence[place] += 1;
                sequence[..place].fill(0);
            }
        }
    }

    #[test]
    fn the_window_in_use_spans_8192_counters() {
        assert_eq!(WINDOW, 8192);
        let mut window = Window::<WORDS>::new();
        assert!(window.accept(8192));
        assert!(!window.accept(0), "8192 behind");
        assert!(window.accept(1), "8191 behind");
        assert!(!window.accept(1) && !window.accept(8192));
    }

    #[test]
    fn a_session_of_few_packets_has_no_ring() {
        let mut window = Window::<WORDS>::new();
        assert!((0..64).all(|counter| window.accept(counter)));
        assert!(matches!(window.words, Words::First(u64::MAX)) && size_of_val(&window) <= 24);
        assert!(window.accept(64) && !window.accept(0) && !window.accept(63) && !window.accept(64));
        assert!(matches!(window.words, Words::Ring(_)));
    }

    proptest! {
        #[test]
        fn the_window_in_use_is_the_model(
            steps in proptest::collection::vec(prop_oneof![
                4 => (0i64..200).prop_map(|back| -back),
                2 => (0i64..9000).prop_map(|back| -back),
                4 => 1i64..3,
                1 => 1i64..20_000,
            ], 1..2000),
        ) {
            let (mut window, mut model) = (Window::<WORDS>::new(), Model::default());
            for step in steps {
                let counter = model.greatest.unwrap_or(0).saturating_add_signed(step);
                prop_assert_eq!(window.accept(counter), model.accept(counter, WINDOW));
            }
        }
    }
}
