//! An address block.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cloudvlan_gen::cloudvlan::entity::v1 as entity;

/// A block of addresses whose host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Why something is not a [`Prefix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Neither 4 nor 16 bytes.
    #[error("an address has 4 or 16 bytes, not {0}")]
    AddressLength(usize),
    /// Longer than the address.
    #[error("prefix length {0} is longer than the address")]
    Length(u32),
    /// A bit past the length is set.
    #[error("host bits of the prefix are not zero")]
    HostBits,
    /// An IPv4-mapped IPv6 address (`::ffff:0:0/96`), which would hide an IPv4 address from the filter.
    #[error("IPv4-mapped IPv6 addresses are not allowed")]
    Mapped,
}

impl Prefix {
    /// Checks the length (0 to 32 or 128) and that the host bits are zero.
    ///
    /// # Errors
    /// [`PrefixError`] names what is wrong.
    pub fn new(address: IpAddr, length: u32) -> Result<Self, PrefixError> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let short = u8::try_from(length).ok().filter(|length| *length <= bits);
        let length = short.ok_or(PrefixError::Length(length))?;
        let prefix = Self { address, length };
        if let IpAddr::V6(v6) = address
            && v6.to_ipv4_mapped().is_some()
        {
            return Err(PrefixError::Mapped);
        }
        if prefix.first_bits() & !prefix.mask() != 0 {
            return Err(PrefixError::HostBits);
        }
        Ok(prefix)
    }

    /// As [`Prefix::new`], but host bits are taken off instead of refused.
    ///
    /// # Errors
    /// [`PrefixError`] names what is wrong.
    pub fn truncated(address: IpAddr, length: u32) -> Result<Self, PrefixError> {
        let bits = if address.is_ipv4() { 32_u32 } else { 128 };
        let host_bits = bits.checked_sub(length).ok_or(PrefixError::Length(length))?;
        let first = to_bits(address) & u128::MAX.checked_shl(host_bits).unwrap_or(0);
        let address = match address {
            IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(first).unwrap_or(0)).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(first).into(),
        };
        Self::new(address, length)
    }

    /// The prefix of one address (/32 or /128).
    pub fn host(address: IpAddr) -> Self {
        Self {
            address,
            length: if address.is_ipv4() { 32 } else { 128 },
        }
    }

    /// The first address of the block.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// Bits that all addresses of the block share, 0 to 32 or 128.
    pub fn length(self) -> u8 {
        self.length
    }

    /// True for IPv4.
    pub fn is_ipv4(self) -> bool {
        self.address.is_ipv4()
    }

    /// True when the block is one address.
    pub fn is_host(self) -> bool {
        self.length == if self.is_ipv4() { 32 } else { 128 }
    }

    /// True when `address` is of the same family and inside the block.
    pub fn contains(self, address: IpAddr) -> bool {
        self.is_ipv4() == address.is_ipv4() && (to_bits(address) ^ self.first_bits()) & self.mask() == 0
    }

    /// True when the blocks share an address.
    pub fn overlaps(self, other: Prefix) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// The block of exactly the addresses of both, which are halves of it in ascending order; None when they are not.
    pub fn joined(self, upper: Prefix) -> Option<Prefix> {
        let bits: u32 = if self.is_ipv4() { 32 } else { 128 };
        let alike = self.is_ipv4() == upper.is_ipv4() && self.length == upper.length;
        let length = u32::from(self.length).checked_sub(1).filter(|_| alike)?;
        let half = 1u128.checked_shl(bits - length - 1)?;
        if self.first_bits() | half != upper.first_bits() || self == upper {
            return None;
        }
        Prefix::new(self.address, length).ok()
    }

    /// First and last address as numbers; IPv4 in the low 32 bits.
    pub fn bounds(self) -> (u128, u128) {
        let first = self.first_bits();
        let width = if self.is_ipv4() {
            u128::from(u32::MAX)
        } else {
            u128::MAX
        };
        (first, first | (!self.mask() & width))
    }

    fn first_bits(self) -> u128 {
        to_bits(self.address)
    }

    /// Mask over the number of the address; the 96 bits above an IPv4 address are set and compare equal, being zero in both.
    fn mask(self) -> u128 {
        let bits: u32 = if self.is_ipv4() { 32 } else { 128 };
        u128::MAX.checked_shl(bits - u32::from(self.length)).unwrap_or(0)
    }
}

/// The number of an address; IPv4 in the low 32 bits.
pub fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// An address from its 4 or 16 bytes in network order.
///
/// # Errors
/// [`PrefixError::AddressLength`] for any other count.
pub fn address_from_bytes(bytes: &[u8]) -> Result<IpAddr, PrefixError> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Ok(IpAddr::V4(Ipv4Addr::from(four)));
    }
    let sixteen = <[u8; 16]>::try_from(bytes).map_err(|_| PrefixError::AddressLength(bytes.len()))?;
    Ok(IpAddr::V6(Ipv6Addr::from(sixteen)))
}

/// The 4 or 16 bytes of an address in network order.
pub fn address_to_bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

impl TryFrom<&entity::Prefix> for Prefix {
    type Error = PrefixError;

    fn try_from(prefix: &entity::Prefix) -> Result<Self, PrefixError> {
        Prefix::new(address_from_bytes(&prefix.address)?, prefix.length)
    }
}

impl From<Prefix> for entity::Prefix {
    fn from(prefix: Prefix) -> Self {
        Self {
            address: address_to_bytes(prefix.address),
            length: u32::from(prefix.length),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Result<Prefix, PrefixError> {
        let (address, length) = text.split_once('/').unwrap();
        Prefix::new(address.parse().unwrap(), length.parse().unwrap())
    }

    #[test]
    fn bounds_and_membership() {
        let ten = prefix("10.0.0.0/8").unwrap();
        assert!(ten.contains("10.255.0.1".parse().unwrap()));
        assert!(!ten.contains("11.0.0.0".parse().unwrap()));
        assert!(!ten.contains("::a00:1".parse().unwrap()));
        assert_eq!(ten.bounds(), (0x0a00_0000, 0x0aff_ffff));
        assert_eq!(prefix("::/0").unwrap().bounds(), (0, u128::MAX));
        assert_eq!(prefix("0.0.0.0/0").unwrap().bounds(), (0, 0xffff_ffff));
        assert!(prefix("0.0.0.0/0").unwrap().overlaps(ten));
        assert!(!ten.overlaps(prefix("11.0.0.0/8").unwrap()));
        assert!(prefix("fd00::1/128").unwrap().is_host());
    }

    #[test]
    fn takes_host_bits_off() {
        let truncated = |text: &str, length| Prefix::truncated(text.parse().unwrap(), length);
        assert_eq!(truncated("10.1.2.3", 8), prefix("10.0.0.0/8"));
        assert_eq!(truncated("10.1.2.3", 32), prefix("10.1.2.3/32"));
        assert_eq!(truncated("10.1.2.3", 0), prefix("0.0.0.0/0"));
        assert_eq!(truncated("fd00::1", 64), prefix("fd00::/64"));
        assert_eq!(truncated("fd00::1", 0), prefix("::/0"));
        assert_eq!(truncated("10.0.0.0", 33), Err(PrefixError::Length(33)));
        assert_eq!(truncated("::ffff:10.0.0.1", 128), Err(PrefixError::Mapped));
    }

    #[test]
    fn refuses_what_is_no_prefix() {
        assert_eq!(prefix("10.0.0.1/8"), Err(PrefixError::HostBits));
        assert_eq!(prefix("10.0.0.0/33"), Err(PrefixError::Length(33)));
        assert_eq!(prefix("10.0.0.0/300"), Err(PrefixError::Length(300)));
        assert_eq!(prefix("::ffff:10.0.0.1/128"), Err(PrefixError::Mapped));
        assert_eq!(prefix("fd00::1/64"), Err(PrefixError::HostBits));
        assert_eq!(address_from_bytes(&[0; 5]), Err(PrefixError::AddressLength(5)));
    }
}
