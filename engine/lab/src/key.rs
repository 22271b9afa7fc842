//! Keys on command lines.

use std::fmt;
use std::str::FromStr;

/// A public key of X25519, 64 hexadecimal digits as text.
#[derive(Clone, Copy)]
pub struct Key(pub [u8; 32]);

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: Option<Vec<u8>> = text
            .chars()
            .map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok()))
            .collect();
        let bytes: Vec<u8> = digits
            .unwrap_or_default()
            .chunks_exact(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect();
        let whole = bytes.try_into().ok().filter(|_| text.len() == 64);
        whole
            .map(Self)
            .ok_or_else(|| "a key is 64 hexadecimal digits".to_owned())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
