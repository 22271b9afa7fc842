//! A set-associative table of fixed size: nothing grows, an insertion evicts within its set.

/// Slots of one set.
const WAYS: usize = 8;

/// Keys with values whose hashes share a set.
type Set<K, V> = [Option<(K, V)>; WAYS];

/// At most a fixed count of keys with values. The caller hashes, with a secret, so that nobody outside can aim at a set.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    /// A set takes memory with its first key and keeps it: a node with few flows must not pay for the most there may be.
    sets: Vec<Option<Box<Set<K, V>>>>,
}

impl<K: PartialEq, V> Cache<K, V> {
    /// Room for `capacity` keys, rounded up to whole sets, at least one.
    pub(crate) fn new(capacity: usize) -> Self {
        let sets = capacity.div_ceil(WAYS).max(1);
        Self {
            sets: std::iter::repeat_with(|| None).take(sets).collect(),
        }
    }

    pub(crate) fn get_mut(&mut self, hash: u64, key: &K) -> Option<&mut V> {
        self.set_mut(hash)?
            .iter_mut()
            .flatten()
            .find(|(held, _)| held == key)
            .map(|(_, value)| value)
    }

    pub(crate) fn get(&self, hash: u64, key: &K) -> Option<&V> {
        self.sets
            .get(self.place(hash))?
            .as_deref()?
            .iter()
            .flatten()
            .find(|(held, _)| held == key)
            .map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, hash: u64, key: &K) {
        for slot in self.set_mut(hash).into_iter().flatten() {
            if slot.as_ref().is_some_and(|(held, _)| held == key) {
                *slot = None;
            }
        }
    }

    /// Sets the value of a key. In a full set the value of the smallest `worth` makes room.
    pub(crate) fn insert<W: Ord>(&mut self, hash: u64, key: K, value: V, worth: impl Fn(&V) -> W) {
        let place = self.place(hash);
        let Some(set) = self.sets.get_mut(place) else { return };
        let set = set.get_or_insert_with(|| Box::new([const { None }; WAYS]));
        let same = set
            .iter()
            .position(|slot| slot.as_ref().is_some_and(|(held, _)| *held == key));
        let place = match same {
            Some(index) => set.get_mut(index),
            None => set
                .iter_mut()
                .min_by_key(|slot| slot.as_ref().map(|(_, value)| worth(value))),
        };
        if let Some(slot) = place {
            *slot = Some((key, value));
        }
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        let sets = self.sets.iter().flatten();
        sets.flat_map(|set| set.iter().flatten()).map(|(_, value)| value)
    }

    /// The high bits choose the set, by multiplication instead of division.
    fn place(&self, hash: u64) -> usize {
        let place = (u128::from(hash) * self.sets.len() as u128) >> 64;
        usize::try_from(place).unwrap_or(0)
    }

    fn set_mut(&mut self, hash: u64) -> Option<&mut Set<K, V>> {
        let place = self.place(hash);
        self.sets.get_mut(place)?.as_deref_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_set_loses_its_least_worthy() {
        let mut cache = Cache::new(WAYS);
        for key in 0..WAYS {
            cache.insert(0, key, 100 - key, |value| *value);
        }
        cache.insert(0, 100, 50, |value| *value);
        assert_eq!(cache.get(0, &(WAYS - 1)), None);
        assert_eq!(cache.get(0, &100), Some(&50));
        assert_eq!(cache.values().count(), WAYS);
        cache.insert(0, 100, 51, |value| *value);
        assert_eq!(cache.values().count(), WAYS);
        cache.remove(0, &100);
        assert_eq!(cache.get_mut(0, &100), None);
    }

    #[test]
    fn every_hash_has_a_set() {
        let mut cache = Cache::new(1000);
        for hash in [0, 1, u64::MAX / 2, u64::MAX] {
            cache.insert(hash, hash, (), |_| 0);
            assert!(cache.get(hash, &hash).is_some());
        }
    }
}
