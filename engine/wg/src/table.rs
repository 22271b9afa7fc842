//! The peers by handle, by key and by receiver index. Each change touches one entry under the lock of one shard.

use crate::PeerId;
use crate::peer::Peer;
use crate::session::Session;
use rand_core::RngCore;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const SHARDS: usize = 16;

/// A map in parts, so that a change holds up few readers and only for the moment of it.
struct Sharded<K, V>([RwLock<HashMap<K, V>>; SHARDS]);

impl<K, V> Default for Sharded<K, V> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| RwLock::default()))
    }
}

impl<K: Copy + Eq + Hash + Into<u64>, V: Clone> Sharded<K, V> {
    fn shard(&self, key: K) -> Option<&RwLock<HashMap<K, V>>> {
        let [first, ..] = key.into().to_le_bytes();
        self.0.get(usize::from(first) % SHARDS)
    }

    fn read(&self, key: K) -> Option<RwLockReadGuard<'_, HashMap<K, V>>> {
        Some(self.shard(key)?.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, key: K) -> Option<RwLockWriteGuard<'_, HashMap<K, V>>> {
        Some(self.shard(key)?.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn get(&self, key: K) -> Option<V> {
        self.read(key)?.get(&key).cloned()
    }
}

impl From<PeerId> for u64 {
    fn from(id: PeerId) -> Self {
        id.0.into()
    }
}

/// Whom a receiver index belongs to.
#[derive(Clone)]
pub enum Receiver {
    /// An initiation of ours waits for its response.
    Handshake(Arc<Peer>),
    /// Data comes.
    Session(Arc<Peer>, Arc<Session>),
}

impl Receiver {
    pub fn peer(&self) -> &Arc<Peer> {
        match self {
            Self::Handshake(peer) | Self::Session(peer, _) => peer,
        }
    }
}

#[derive(Default)]
pub struct Table {
    by_id: Sharded<PeerId, Arc<Peer>>,
    by_key: RwLock<HashMap<[u8; 32], Arc<Peer>>>,
    by_index: Sharded<u32, Receiver>,
}

impl Table {
    pub fn by_id(&self, id: PeerId) -> Option<Arc<Peer>> {
        self.by_id.get(id)
    }

    pub fn by_key(&self, key: &[u8; 32]) -> Option<Arc<Peer>> {
        let keys = self.by_key.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(key).cloned()
    }

    pub fn by_index(&self, index: u32) -> Option<Receiver> {
        self.by_index.get(index)
    }

    pub fn all(&self) -> Vec<Arc<Peer>> {
        let keys = self.by_key.read().unwrap_or_else(PoisonError::into_inner);
        keys.values().cloned().collect()
    }

    pub fn insert(&self, peer: &Arc<Peer>) {
        let mut keys = self.by_key.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(peer.public_key, peer.clone());
        drop(keys);
        if let Some(mut ids) = self.by_id.write(peer.id) {
            ids.insert(peer.id, peer.clone());
        }
    }

    pub fn remove(&self, peer: &Peer) {
        let mut keys = self.by_key.write().unwrap_or_else(PoisonError::into_inner);
        keys.remove(&peer.public_key);
        drop(keys);
        if let Some(mut ids) = self.by_id.write(peer.id) {
            ids.remove(&peer.id);
        }
    }

    /// An index of nobody for `receiver`; random over all 32 bits, so that it says nothing about how many there are.
    pub fn new_index(&self, receiver: Receiver, random: &mut dyn RngCore) -> Option<u32> {
        loop {
            let index = random.next_u32();
            if let Entry::Vacant(vacant) = self.by_index.write(index)?.entry(index) {
                vacant.insert(receiver);
                return Some(index);
            }
        }
    }

    /// Takes this very index; false when it is somebody's.
    pub fn claim_index(&self, index: u32, receiver: Receiver) -> bool {
        let shard = self.by_index.write(index);
        shard.is_some_and(|mut shard| match shard.entry(index) {
            Entry::Vacant(vacant) => {
                vacant.insert(receiver);
                true
            }
            Entry::Occupied(_) => false,
        })
    }

    /// Lets an index lead elsewhere.
    pub fn redirect(&self, index: u32, receiver: Receiver) {
        if let Some(mut shard) = self.by_index.write(index) {
            shard.insert(index, receiver);
        }
    }

    /// Frees an index.
    pub fn free_index(&self, index: u32) {
        if let Some(mut shard) = self.by_index.write(index) {
            shard.remove(&index);
        }
    }
}
