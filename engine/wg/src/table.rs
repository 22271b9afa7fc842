//! The peers by handle, by receiver index and by key; replaced whole.

use crate::peer::Peer;
use crate::queue::Budget;
use crate::{PeerConfig, PeerId, Refused};
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::x25519::{PublicKey, StaticSecret};
use rand_core::{OsRng, RngCore};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// What every peer of one engine is made with.
pub(crate) struct Own<'a> {
    pub private: &'a StaticSecret,
    pub public: &'a PublicKey,
    pub limiter: &'a Arc<RateLimiter>,
    pub waiting: &'a Budget,
}

#[derive(Default)]
pub(crate) struct Table {
    by_id: HashMap<PeerId, Arc<Peer>>,
    by_index: HashMap<u32, Arc<Peer>>,
    by_key: HashMap<[u8; 32], Arc<Peer>>,
}

impl Table {
    pub fn by_id(&self, id: PeerId) -> Option<&Arc<Peer>> {
        self.by_id.get(&id)
    }

    /// The peer of a receiver index; its low 8 bits tell the sessions of one peer apart.
    pub fn by_receiver_index(&self, index: u32) -> Option<&Arc<Peer>> {
        self.by_index.get(&(index >> 8))
    }

    pub fn by_key(&self, key: &[u8; 32]) -> Option<&Arc<Peer>> {
        self.by_key.get(key)
    }

    pub fn peers(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.by_id.values()
    }

    /// Whether this very peer, not one of the same name, is in the table.
    pub fn holds(&self, peer: &Arc<Peer>) -> bool {
        self.by_id.get(&peer.id).is_some_and(|held| Arc::ptr_eq(held, peer))
    }

    /// The table with exactly these peers; those of the same id and key are carried over.
    pub fn replaced(&self, now: Instant, own: &Own<'_>, peers: Vec<PeerConfig>) -> (Self, Vec<(PeerId, Refused)>) {
        let mut next = Self::default();
        let mut refused = Vec::new();
        for config in peers {
            match self.admit(&next, now, own, &config) {
                Ok(peer) => next.insert(peer),
                Err(reason) => refused.push((config.id, reason)),
            }
        }
        (next, refused)
    }

    fn admit(&self, next: &Self, now: Instant, own: &Own<'_>, config: &PeerConfig) -> Result<Arc<Peer>, Refused> {
        if next.by_id.contains_key(&config.id) {
            return Err(Refused::DuplicateId);
        }
        if next.by_key.contains_key(&config.public_key) {
            return Err(Refused::DuplicateKey);
        }
        if let Some(kept) = self
            .by_id
            .get(&config.id)
            .filter(|kept| kept.public_key == config.public_key)
        {
            kept.set_candidates(now, &config.candidates);
            return Ok(kept.clone());
        }
        if config.public_key == own.public.to_bytes() {
            return Err(Refused::OwnKey);
        }
        if !own
            .private
            .diffie_hellman(&PublicKey::from(config.public_key))
            .was_contributory()
        {
            return Err(Refused::LowOrderKey);
        }
        Ok(Arc::new(Peer::new(own, config, self.free_index(next))))
    }

    fn insert(&mut self, peer: Arc<Peer>) {
        self.by_index.insert(peer.index, peer.clone());
        self.by_key.insert(peer.public_key, peer.clone());
        self.by_id.insert(peer.id, peer);
    }

    /// Random, so that an index says nothing about how many peers there are.
    fn free_index(&self, next: &Self) -> u32 {
        loop {
            let index = OsRng.next_u32() >> 8;
            if !self.by_index.contains_key(&index) && !next.by_index.contains_key(&index) {
                return index;
            }
        }
    }
}
