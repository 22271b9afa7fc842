//! Values by address block, found by address.

use std::net::IpAddr;

use rpds::HashTrieMapSync;

use crate::prefix::{Prefix, to_bits};

/// One value a block. A clone shares what both have; a change costs the same however many blocks there are; a search
/// hashes once for each length of block in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixMap<V> {
    v4: Family<V>,
    v6: Family<V>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Family<V> {
    by_start: HashTrieMapSync<(u8, u128), V>,
    /// Lengths in use with the count of their blocks, the longest first.
    lengths: Vec<(u8, usize)>,
}

// Not derived: the values need no default.
impl<V> Default for PrefixMap<V> {
    fn default() -> Self {
        Self {
            v4: Family::default(),
            v6: Family::default(),
        }
    }
}

impl<V> Default for Family<V> {
    fn default() -> Self {
        Self {
            by_start: HashTrieMapSync::new_sync(),
            lengths: Vec::new(),
        }
    }
}

impl<V> PrefixMap<V> {
    /// The value of a block.
    pub fn get(&self, prefix: Prefix) -> Option<&V> {
        let family = if prefix.is_ipv4() { &self.v4 } else { &self.v6 };
        family.by_start.get(&key_of(prefix))
    }

    /// Sets the value of a block.
    pub fn insert(&mut self, prefix: Prefix, value: V) {
        let family = self.family_mut(prefix);
        let key = key_of(prefix);
        if !family.by_start.contains_key(&key) {
            family.count(prefix.length());
        }
        family.by_start.insert_mut(key, value);
    }

    /// Takes a block out.
    pub fn remove(&mut self, prefix: Prefix) {
        let family = self.family_mut(prefix);
        if family.by_start.remove_mut(&key_of(prefix)) {
            family.discount(prefix.length());
        }
    }

    /// The values of the blocks that hold `address`, that of the smallest block first.
    pub fn matches(&self, address: IpAddr) -> impl Iterator<Item = &V> {
        let (family, width) = if address.is_ipv4() {
            (&self.v4, 32)
        } else {
            (&self.v6, 128_u32)
        };
        let bits = to_bits(address);
        family.lengths.iter().filter_map(move |(length, _)| {
            let host_bits = width.saturating_sub(u32::from(*length));
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            family.by_start.get(&(*length, bits & mask))
        })
    }

    /// True when there is no block.
    pub fn is_empty(&self) -> bool {
        self.v4.lengths.is_empty() && self.v6.lengths.is_empty()
    }

    fn family_mut(&mut self, prefix: Prefix) -> &mut Family<V> {
        if prefix.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }
}

impl<V> Family<V> {
    fn count(&mut self, length: u8) {
        match self.lengths.binary_search_by(|(held, _)| length.cmp(held)) {
            Ok(place) => {
                if let Some((_, count)) = self.lengths.get_mut(place) {
                    *count += 1;
                }
            }
            Err(place) => self.lengths.insert(place, (length, 1)),
        }
    }

    fn discount(&mut self, length: u8) {
        for (held, count) in &mut self.lengths {
            if *held == length {
                *count -= 1;
            }
        }
        self.lengths.retain(|(_, count)| *count > 0);
    }
}

fn key_of(prefix: Prefix) -> (u8, u128) {
    (prefix.length(), prefix.bounds().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        let (address, length) = text.split_once('/').unwrap();
        Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
    }

    #[test]
    fn an_address_finds_its_blocks_the_smallest_first() {
        let mut map = PrefixMap::default();
        let blocks = [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3/32",
            "::/0",
            "fd00::/8",
        ];
        for (value, text) in blocks.iter().enumerate() {
            map.insert(prefix(text), value);
        }
        let found =
            |map: &PrefixMap<usize>, text: &str| map.matches(text.parse().unwrap()).copied().collect::<Vec<_>>();
        assert_eq!(found(&map, "10.1.2.3"), [3, 2, 1, 0]);
        assert_eq!(found(&map, "10.2.0.0"), [1, 0]);
        assert_eq!(found(&map, "fd00::1"), [5, 4]);
        assert_eq!(found(&map, "::a01:203"), [4]);
        let kept = map.clone();
        map.insert(prefix("10.0.0.0/8"), 9);
        map.remove(prefix("10.1.0.0/16"));
        map.remove(prefix("10.9.0.0/16"));
        assert_eq!(found(&map, "10.1.2.3"), [3, 9, 0]);
        assert_eq!(found(&kept, "10.1.2.3"), [3, 2, 1, 0]);
        for text in blocks {
            map.remove(prefix(text));
        }
        assert!(map.is_empty() && map == PrefixMap::default() && !kept.is_empty());
    }
}
