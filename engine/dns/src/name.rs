//! Names as they travel (RFC 1035, section 3.1), in lower case.

use std::borrow::Borrow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name on the wire, bytes.
const MAX_WIRE: usize = 255;
const MAX_LABEL: usize = 63;

/// A name: length-prefixed labels in lower case with the empty one at the end.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Of text like `host1.main.cvlan.internal`, without escapes; None when it is no name.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.split('.') {
            let length = u8::try_from(label.len()).ok()?;
            if label.is_empty() || label.len() > MAX_LABEL {
                return None;
            }
            wire.push(length);
            wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        wire.push(0);
        (wire.len() <= MAX_WIRE).then(|| Self(wire.into()))
    }

    /// Reads an uncompressed name from the beginning of `bytes`; says how long it is there. None when it is cut short, too
    /// long, or compressed: nothing stands before the name of a question that it could point to.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut at = 0;
        loop {
            let length = usize::from(*bytes.get(at)?);
            if length > MAX_LABEL {
                return None;
            }
            at += 1 + length;
            if at > MAX_WIRE {
                return None;
            }
            if length == 0 {
                break;
            }
        }
        // Length bytes are below 64 and no capital letters.
        let wire = bytes.get(..at)?.to_ascii_lowercase();
        Some((Self(wire.into()), at))
    }

    /// On the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name itself, then each name above it, down to the root.
    pub(crate) fn suffixes(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = Some(&*self.0);
        std::iter::from_fn(move || {
            let current = rest?;
            let length = usize::from(*current.first()?);
            rest = if length == 0 { None } else { current.get(1 + length..) };
            Some(current)
        })
    }

    /// The only label before `suffix`; None when there are none or several.
    pub(crate) fn label_before(&self, suffix: &[u8]) -> Option<&[u8]> {
        let length = usize::from(*self.0.first()?);
        let rest = self.0.get(1 + length..)?;
        if length > 0 && rest == suffix {
            self.0.get(1..=length)
        } else {
            None
        }
    }

    /// The address whose reverse name this is (RFC 1035, section 3.5; RFC 3596, section 2.5).
    #[must_use]
    pub fn reverse_address(&self) -> Option<IpAddr> {
        let labels: Vec<&[u8]> = self.labels().collect();
        match labels.as_slice() {
            [rest @ .., b"in-addr", b"arpa"] => {
                let four: [&[u8]; 4] = rest.try_into().ok()?;
                let mut octets = [0; 4];
                for (octet, label) in octets.iter_mut().rev().zip(four) {
                    *octet = decimal(label)?;
                }
                Some(Ipv4Addr::from(octets).into())
            }
            [rest @ .., b"ip6", b"arpa"] => {
                let nibbles: [&[u8]; 32] = rest.try_into().ok()?;
                let mut bits = 0_u128;
                for nibble in nibbles.iter().rev() {
                    let [digit] = nibble else { return None };
                    bits = bits << 4 | u128::from(char::from(*digit).to_digit(16)?);
                }
                Some(Ipv6Addr::from_bits(bits).into())
            }
            _ => None,
        }
    }

    fn labels(&self) -> impl Iterator<Item = &[u8]> {
        self.suffixes().filter_map(|suffix| {
            let length = usize::from(*suffix.first()?);
            if length == 0 { None } else { suffix.get(1..=length) }
        })
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Without a trailing dot; bytes that are no printable ASCII as `\ddd` (RFC 1035, section 5.1).
impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, label) in self.labels().enumerate() {
            if index > 0 {
                formatter.write_str(".")?;
            }
            for byte in label {
                if byte.is_ascii_graphic() && !matches!(byte, b'.' | b'\\') {
                    write!(formatter, "{}", char::from(*byte))?;
                } else {
                    write!(formatter, "\\{byte:03}")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// An octet without leading zeroes, so that an address has one name.
fn decimal(label: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(label).ok()?;
    let number: u8 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// The reverse name of an address, as text.
pub(crate) fn reverse_text(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let mut text = String::with_capacity(72);
            for octet in v6.octets().iter().rev() {
                text.push_str(&format!("{:x}.{:x}.", octet & 15, octet >> 4));
            }
            text + "ip6.arpa"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn suffixes_go_from_the_whole_name_to_the_root() {
        let name = Name::from_text("A.b.c").unwrap();
        let suffixes: Vec<_> = name.suffixes().collect();
        assert_eq!(
            suffixes,
            [&b"\x01a\x01b\x01c\0"[..], b"\x01b\x01c\0", b"\x01c\0", b"\0"]
        );
        assert_eq!(name.label_before(b"\x01b\x01c\0"), Some(&b"a"[..]));
        assert_eq!(name.label_before(b"\x01c\0"), None);
    }

    #[test]
    fn what_is_no_reverse_name_has_no_address() {
        for text in [
            "1.0.64.100.in-addr.arpa.x",
            "01.0.64.100.in-addr.arpa",
            "256.0.64.100.in-addr.arpa",
            "0.64.100.in-addr.arpa",
            "1.1.0.64.100.in-addr.arpa",
            "+1.0.64.100.in-addr.arpa",
            "1.ip6.arpa",
            "arpa",
        ] {
            assert_eq!(Name::from_text(text).unwrap().reverse_address(), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_address_has_one_reverse_name(v4 in any::<u32>(), v6 in any::<u128>()) {
            for address in [IpAddr::from(Ipv4Addr::from_bits(v4)), Ipv6Addr::from_bits(v6).into()] {
                let name = Name::from_text(&reverse_text(address)).unwrap();
                prop_assert_eq!(name.reverse_address(), Some(address));
            }
        }

        #[test]
        fn reading_never_panics_and_reads_back(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some((name, length)) = Name::read(&bytes) {
                prop_assert_eq!(name.as_bytes(), bytes[..length].to_ascii_lowercase());
                prop_assert_eq!(Name::read(name.as_bytes()).unwrap().0, name);
            }
        }
    }
}
