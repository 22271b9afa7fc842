//! BLAKE2s and what the handshake makes of it (whitepaper, section 5.4; RFC 7693, RFC 2104, RFC 5869).

use blake2::digest::consts::U16;
use blake2::digest::generic_array::GenericArray;
use blake2::digest::{KeyInit, Mac};
use blake2::{Blake2s256, Blake2sMac, Digest};
use hmac::SimpleHmac;
use zeroize::Zeroizing;

/// Of `HASH`, and of the keys.
pub const HASH_BYTES: usize = 32;
/// Of `MAC`.
pub const MAC_BYTES: usize = 16;

/// A public running hash.
pub type Hash = [u8; HASH_BYTES];
/// A key or chaining key.
pub type Key = Zeroizing<[u8; HASH_BYTES]>;

const HMAC_BLOCK: usize = 64;

/// `HASH` of the parts one after another.
pub fn hash(parts: &[&[u8]]) -> Hash {
    let mut state = Blake2s256::new();
    for part in parts {
        Digest::update(&mut state, part);
    }
    state.finalize().into()
}

/// `MAC`: keyed BLAKE2s of 16 bytes. `None` for a key that is empty or longer than 32 bytes (RFC 7693, section 2.9).
pub fn mac(key: &[u8], parts: &[&[u8]]) -> Option<[u8; MAC_BYTES]> {
    let mut state = <Blake2sMac<U16> as KeyInit>::new_from_slice(key).ok()?;
    for part in parts {
        Mac::update(&mut state, part);
    }
    Some(state.finalize().into_bytes().into())
}

fn hmac(key: &[u8; HASH_BYTES], parts: &[&[u8]]) -> Key {
    // RFC 2104: a key shorter than the block is filled up with zeros.
    let mut block = Zeroizing::new([0; HMAC_BLOCK]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut state = <SimpleHmac<Blake2s256> as KeyInit>::new(GenericArray::from_slice(&*block));
    for part in parts {
        Mac::update(&mut state, part);
    }
    Zeroizing::new(state.finalize().into_bytes().into())
}

/// `KDF1`.
pub fn kdf1(chaining: &[u8; HASH_BYTES], input: &[u8]) -> Key {
    hmac(&hmac(chaining, &[input]), &[&[1]])
}

/// `KDF2`.
pub fn kdf2(chaining: &[u8; HASH_BYTES], input: &[u8]) -> (Key, Key) {
    let secret = hmac(chaining, &[input]);
    let first = hmac(&secret, &[&[1]]);
    let second = hmac(&secret, &[&*first, &[2]]);
    (first, second)
}

/// `KDF3`.
pub fn kdf3(chaining: &[u8; HASH_BYTES], input: &[u8]) -> (Key, Key, Key) {
    let secret = hmac(chaining, &[input]);
    let first = hmac(&secret, &[&[1]]);
    let second = hmac(&secret, &[&*first, &[2]]);
    let third = hmac(&secret, &[&*second, &[3]]);
    (first, second, third)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 7693, appendix B.
    #[test]
    fn blake2s_of_abc() {
        let expected = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982";
        assert_eq!(hex(&hash(&[b"abc"])), expected);
        assert_eq!(hash(&[b"a", b"", b"bc"]), hash(&[b"abc"]));
    }

    /// RFC 7693, appendix E: the self-test over all key and input lengths, restricted to what `MAC` produces.
    #[test]
    fn keyed_blake2s_follows_the_self_test() {
        use blake2::digest::VariableOutput;

        fn sequence(length: usize, seed: u32) -> Vec<u8> {
            let mut a = 0xDEAD_4BADu32.wrapping_mul(seed);
            let mut b = 1u32;
            (0..length)
                .map(|_| {
                    let t = a.wrapping_add(b);
                    a = b;
                    b = t;
                    (t >> 24) as u8
                })
                .collect()
        }
        let mut all = Blake2s256::new();
        for out in [16usize, 20, 28, 32] {
            for len in [0usize, 3, 64, 65, 255, 1024] {
                let input = sequence(len, u32::try_from(len).unwrap());
                let mut plain = vec![0; out];
                blake2::Blake2sVar::digest_variable(&input, &mut plain).unwrap();
                Digest::update(&mut all, &plain);
                let key = sequence(out, u32::try_from(out).unwrap());
                let keyed = match out {
                    16 => mac(&key, &[&input]).unwrap().to_vec(),
                    20 => keyed::<blake2::digest::consts::U20>(&key, &input),
                    28 => keyed::<blake2::digest::consts::U28>(&key, &input),
                    _ => keyed::<blake2::digest::consts::U32>(&key, &input),
                };
                Digest::update(&mut all, keyed);
            }
        }
        let expected = "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe";
        assert_eq!(hex(&all.finalize()), expected);
    }

    fn keyed<Size>(key: &[u8], input: &[u8]) -> Vec<u8>
    where
        Size: blake2::digest::generic_array::ArrayLength<u8>
            + blake2::digest::typenum::IsLessOrEqual<blake2::digest::consts::U32>,
        blake2::digest::typenum::LeEq<Size, blake2::digest::consts::U32>: blake2::digest::typenum::NonZero,
    {
        let mut state = <Blake2sMac<Size> as KeyInit>::new_from_slice(key).unwrap();
        Mac::update(&mut state, input);
        state.finalize().into_bytes().to_vec()
    }

    #[test]
    fn keys_that_blake2s_does_not_take_are_refused() {
        assert!(mac(&[1; 33], &[b"x"]).is_none());
        assert!(mac(&[1; 32], &[b"x"]).is_some());
    }

    #[test]
    fn the_longer_derivations_begin_like_the_shorter_ones() {
        let (one, two) = kdf2(&[7; 32], b"input");
        let three = kdf3(&[7; 32], b"input");
        assert_eq!((&one, &two), (&three.0, &three.1));
        assert_eq!(one, kdf1(&[7; 32], b"input"));
        assert!(one != two && two != three.2);
    }
}
