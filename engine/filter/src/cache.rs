//! A set-associative table of fixed size, shared fairly: nothing grows, an insertion evicts within its set, and whoever has
//! most there makes room first.

/// Slots of one set.
const WAYS: usize = 8;

/// What a value is worth to its owner and to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing<W> {
    /// Nothing any more.
    Ended,
    /// So much, less than whatever is protected.
    Worth(W),
    /// So much, and others take it only from who has more than a fair share.
    Protected(W),
}

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

    /// Sets the value of a key; false when its set is full and nobody in it has to make room. `standing` says of a value
    /// what it is worth.
    ///
    /// In a full set what has ended goes first. Then who has as much there as anybody else, and comes with more, gives up
    /// the least of its own. Otherwise the one who has most gives up the least that is unprotected; what is protected goes
    /// only from who has more than half of the set, or from the owner itself.
    pub(crate) fn insert<O: PartialEq, W: Ord + Copy>(
        &mut self,
        hash: u64,
        key: K,
        value: V,
        owner: impl Fn(&K) -> O,
        standing: impl Fn(&K, &V) -> Standing<W>,
    ) -> bool {
        let place = self.place(hash);
        let Some(set) = self.sets.get_mut(place) else {
            return false;
        };
        let set = set.get_or_insert_with(|| Box::new([const { None }; WAYS]));
        let same = set
            .iter()
            .position(|slot| slot.as_ref().is_some_and(|(held, _)| *held == key));
        let slot = match same.or_else(|| set.iter().position(Option::is_none)) {
            Some(index) => Some(index),
            None => victim(set, &owner(&key), &owner, &standing),
        };
        match slot.and_then(|index| set.get_mut(index)) {
            Some(slot) => {
                *slot = Some((key, value));
                true
            }
            None => false,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let sets = self.sets.iter().flatten();
        sets.flat_map(|set| set.iter().flatten())
            .map(|(key, value)| (key, value))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
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

/// Which slot of a full set makes room for one more of `owner`.
fn victim<K, V, O: PartialEq, W: Ord + Copy>(
    set: &Set<K, V>,
    newcomer: &O,
    owner: &impl Fn(&K) -> O,
    standing: &impl Fn(&K, &V) -> Standing<W>,
) -> Option<usize> {
    let slots = || {
        let held = set.iter().enumerate();
        held.filter_map(|(index, slot)| {
            slot.as_ref()
                .map(|(key, value)| (index, owner(key), standing(key, value)))
        })
    };
    let share = |of: &O| slots().filter(|(_, held, _)| held == of).count();
    let least = |candidates: &mut dyn Iterator<Item = (usize, O, Standing<W>)>| {
        candidates
            .min_by_key(|(_, _, standing)| *standing)
            .map(|(index, ..)| index)
    };
    let ended = slots().find(|(_, _, standing)| matches!(standing, Standing::Ended));
    if let Some((index, ..)) = ended {
        return Some(index);
    }
    let own = share(newcomer);
    let most = slots().map(|(_, held, _)| share(&held)).max().unwrap_or(0);
    if own >= most {
        return least(&mut slots().filter(|(_, held, _)| held == newcomer));
    }
    let unprotected = slots().filter(|(_, _, standing)| matches!(standing, Standing::Worth(_)));
    let of_most = unprotected.max_by_key(|(_, held, standing)| (share(held), std::cmp::Reverse(*standing)));
    of_most
        .map(|(index, ..)| index)
        .or_else(|| least(&mut slots().filter(|(_, held, _)| share(held) > WAYS / 2)))
        .or_else(|| least(&mut slots().filter(|(_, held, _)| held == newcomer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    use Standing::{Ended, Protected, Worth};

    type Owned = (char, u32);

    /// A cache of one set that holds these, and whether it takes one more.
    fn with(held: &[(Owned, Standing<u32>)], newcomer: Owned) -> (Vec<Owned>, bool) {
        let mut cache = Cache::new(WAYS);
        let mut insert = |key, value| cache.insert(0, key, value, |(owner, _)| *owner, |_, standing| *standing);
        for (key, standing) in held {
            assert!(insert(*key, *standing));
        }
        let taken = insert(newcomer, Worth(1000));
        let mut keys: Vec<Owned> = held.iter().map(|(key, _)| *key).chain([newcomer]).collect();
        keys.retain(|key| cache.get(0, key).is_some());
        assert!(cache.values().count() <= WAYS);
        (keys, taken)
    }

    fn many(owner: char, count: u32, standing: fn(u32) -> Standing<u32>) -> Vec<(Owned, Standing<u32>)> {
        (0..count)
            .map(|index| ((owner, index), standing(100 - index)))
            .collect()
    }

    fn lost(held: &[(Owned, Standing<u32>)], newcomer: Owned) -> Vec<Owned> {
        let (keys, _) = with(held, newcomer);
        held.iter()
            .map(|(key, _)| *key)
            .filter(|key| !keys.contains(key))
            .collect()
    }

    #[test]
    fn who_has_most_makes_room_first_and_with_its_least() {
        assert_eq!(lost(&many('a', 8, Worth), ('a', 9)), [('a', 7)]);
        assert_eq!(lost(&many('a', 8, Protected), ('a', 9)), [('a', 7)]);
        let mixed = [many('a', 5, Worth), many('b', 3, Worth)].concat();
        assert_eq!(lost(&mixed, ('b', 9)), [('a', 4)]);
        assert_eq!(lost(&mixed, ('a', 9)), [('a', 4)]);
        assert_eq!(lost(&mixed, ('c', 9)), [('a', 4)]);
    }

    #[test]
    fn what_ended_goes_before_all() {
        let mixed = [many('a', 7, Worth), vec![(('b', 0), Ended)]].concat();
        assert_eq!(lost(&mixed, ('a', 9)), [('b', 0)]);
    }

    #[test]
    fn what_is_protected_stays_with_whoever_has_no_more_than_half() {
        let fair = [many('a', 4, Protected), many('b', 4, Protected)].concat();
        assert!(!with(&fair, ('c', 9)).1);
        assert_eq!(lost(&fair, ('b', 9)), [('b', 3)]);
        let greedy = [many('a', 5, Protected), many('b', 3, Protected)].concat();
        assert_eq!(lost(&greedy, ('c', 9)), [('a', 4)]);
        let one_open = [many('a', 4, Protected), many('b', 3, Protected), many('c', 1, Worth)].concat();
        assert_eq!(lost(&one_open, ('d', 9)), [('c', 0)]);
    }

    #[test]
    fn a_key_is_there_once_and_can_be_removed() {
        let mut cache = Cache::new(WAYS);
        for value in [50, 51] {
            assert!(cache.insert(0, 'a', value, |_| 0, |_, value| Worth(*value)));
        }
        assert_eq!((cache.values().count(), cache.get_mut(0, &'a')), (1, Some(&mut 51)));
        cache.remove(0, &'a');
        assert_eq!(cache.get_mut(0, &'a'), None);
    }

    #[test]
    fn every_hash_has_a_set() {
        let mut cache = Cache::new(1000);
        for hash in [0, 1, u64::MAX / 2, u64::MAX] {
            cache.insert(hash, hash, (), |_| 0, |_, ()| Worth(0));
            assert!(cache.get(hash, &hash).is_some());
        }
    }
}
