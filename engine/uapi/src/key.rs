//! Keys as lower-case hexadecimal digits.

use std::fmt::Write;
use zeroize::Zeroizing;

/// X25519 public key.
pub type PublicKey = [u8; 32];

/// A private or preshared key, wiped when dropped; not printable.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey")
    }
}

impl SecretKey {
    /// Takes the key.
    #[must_use]
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The key.
    #[must_use]
    pub fn bytes(&self) -> &Zeroizing<[u8; 32]> {
        &self.0
    }

    /// All zeroes: the protocol's word for no key.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.iter().fold(0, |all, byte| all | byte) == 0
    }
}

/// Reads 64 digits of either case.
pub(crate) fn from_hex(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    if text.len() != 2 * key.len() {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        for digit in pair {
            let value = u8::try_from(char::from(*digit).to_digit(16)?).ok()?;
            *byte = (*byte << 4) | value;
        }
    }
    Some(key)
}

pub(crate) fn push_hex(out: &mut String, key: &[u8; 32]) {
    for byte in key {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
}
