//! The newest revision of what is gone, so that an old record cannot come back.

use rpds::RedBlackTreeMapSync;

use crate::MAX_TOMBSTONES;

/// The newest version seen of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Floor {
    pub revision: u64,
    /// SHA-256 of the payload: two different records of one revision are not the same record.
    pub digest: [u8; 32],
}

impl Floor {
    /// True when a record of `next` may follow one of `self`.
    pub(crate) fn admits(&self, next: &Floor) -> bool {
        next.revision > self.revision || next == self
    }
}

/// Floors of the last [`MAX_TOMBSTONES`] removed ids. A clone shares what both have.
#[derive(Clone, Debug)]
pub(crate) struct Tombstones<K: Ord + Clone> {
    floors: RedBlackTreeMapSync<K, (u64, Floor)>,
    by_age: RedBlackTreeMapSync<u64, K>,
    next: u64,
}

impl<K: Ord + Clone> Default for Tombstones<K> {
    fn default() -> Self {
        Self {
            floors: RedBlackTreeMapSync::new_sync(),
            by_age: RedBlackTreeMapSync::new_sync(),
            next: 0,
        }
    }
}

impl<K: Ord + Clone> Tombstones<K> {
    pub(crate) fn get(&self, id: &K) -> Option<&Floor> {
        self.floors.get(id).map(|(_, floor)| floor)
    }

    pub(crate) fn insert(&mut self, id: K, floor: Floor) {
        self.remove(&id);
        self.floors.insert_mut(id.clone(), (self.next, floor));
        self.by_age.insert_mut(self.next, id);
        self.next += 1;
        if self.floors.size() > MAX_TOMBSTONES {
            let oldest = self.by_age.first().map(|(_, id)| id.clone());
            if let Some(oldest) = oldest {
                self.remove(&oldest);
            }
        }
    }

    pub(crate) fn remove(&mut self, id: &K) {
        if let Some(age) = self.floors.get(id).map(|(age, _)| *age) {
            self.floors.remove_mut(id);
            self.by_age.remove_mut(&age);
        }
    }

    /// Oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &Floor)> {
        self.by_age.values().filter_map(|id| Some((id, self.get(id)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floor(revision: u64) -> Floor {
        Floor {
            revision,
            digest: [0; 32],
        }
    }

    #[test]
    fn the_oldest_goes_first_and_the_count_is_bounded() {
        let mut tombstones = Tombstones::default();
        for id in 0..=MAX_TOMBSTONES {
            tombstones.insert(id, floor(1));
        }
        assert_eq!(tombstones.get(&0), None);
        assert_eq!(tombstones.get(&1), Some(&floor(1)));
        tombstones.insert(1, floor(2));
        tombstones.insert(MAX_TOMBSTONES + 1, floor(1));
        assert_eq!(tombstones.get(&1), Some(&floor(2)));
        assert_eq!(tombstones.get(&2), None);
        assert_eq!(tombstones.iter().count(), MAX_TOMBSTONES);
        assert_eq!(tombstones.by_age.size(), MAX_TOMBSTONES);
    }

    #[test]
    fn a_floor_admits_newer_or_the_very_same() {
        assert!(floor(2).admits(&floor(3)));
        assert!(floor(2).admits(&floor(2)));
        assert!(!floor(2).admits(&floor(1)));
        assert!(!floor(2).admits(&Floor {
            revision: 2,
            digest: [1; 32]
        }));
    }
}
