//! The Internet checksum (RFC 1071).

/// A one's complement sum that is not folded yet. It is kept in the byte order of the machine, which the sum does not depend on
/// (RFC 1071, section 2 B).
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Adds bytes, padded with a zero byte when their number is odd: only the last piece of what is summed may be odd.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        // Words of 32 bits in lanes of 64 carry nothing before 2^32 of them, and the compiler makes vector code of it.
        let mut lanes = [0u64; 8];
        let (blocks, rest) = bytes.as_chunks::<32>();
        for block in blocks {
            let (words, _) = block.as_chunks::<4>();
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane += u64::from(u32::from_ne_bytes(*word));
            }
        }
        let (words, rest) = rest.as_chunks::<2>();
        let mut sum: u64 = words.iter().map(|word| u64::from(u16::from_ne_bytes(*word))).sum();
        if let [last] = rest {
            sum += u64::from(u16::from_ne_bytes([*last, 0]));
        }
        // Folded, so that any number of calls stays far from the end of the number.
        Self(self.0 + u64::from(fold(lanes.into_iter().map(narrow).sum::<u64>() + sum)))
    }

    /// Adds a 16-bit number as it would stand in a packet.
    #[must_use]
    pub fn word(self, value: u16) -> Self {
        Self(self.0 + u64::from(u16::from_ne_bytes(value.to_be_bytes())))
    }

    /// The sum, as a number of a packet. What a header holds is its complement.
    #[must_use]
    pub fn fold(self) -> u16 {
        u16::from_be_bytes(fold(self.0).to_ne_bytes())
    }

    /// What a header holds.
    #[must_use]
    pub fn checksum(self) -> u16 {
        !self.fold()
    }
}

fn narrow(lane: u64) -> u64 {
    (lane >> 32) + (lane & 0xffff_ffff)
}

fn fold(sum: u64) -> u16 {
    let mut sum = narrow(sum);
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071, section 4.1, word by word.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum: u32 = 0;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
            sum = (sum >> 16) + (sum & 0xffff);
        }
        u16::try_from(sum).unwrap()
    }

    #[test]
    fn the_example_of_the_rfc() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().bytes(&bytes).fold(), 0xddf2);
    }

    #[test]
    fn the_largest_sum_does_not_overflow() {
        let bytes = vec![0xff; 65_535];
        assert_eq!(Sum::default().bytes(&bytes).fold(), naive(&bytes));
    }

    proptest! {
        #[test]
        fn it_is_the_naive_sum(bytes in proptest::collection::vec(any::<u8>(), 0..2000), at in 0usize..1000, word: u16) {
            prop_assert_eq!(Sum::default().bytes(&bytes).fold(), naive(&bytes));
            let (head, tail) = bytes.split_at((at * 2).min(bytes.len()));
            prop_assert_eq!(Sum::default().bytes(head).bytes(tail).fold(), naive(&bytes));
            let with_word: Vec<u8> = [&word.to_be_bytes()[..], &bytes].concat();
            prop_assert_eq!(Sum::default().bytes(&bytes).word(word).fold(), naive(&with_word));
        }
    }
}
