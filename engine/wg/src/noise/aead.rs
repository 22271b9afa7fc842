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
        let tag = self.0.seal_in_place_separate_tag(nonce(counter), Aad::from(aad), text);
        tag.ok()?.as_ref().try_into().ok()
    }

    /// Decrypts text and tag in place; the length of the plain text, which comes first. What is in the buffer after a
    /// failure means nothing.
    pub fn open(&self, counter: u64, aad: &[u8], text: &mut [u8]) -> Option<usize> {
        let plain = self.0.open_in_place(nonce(counter), Aad::from(aad), text);
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
