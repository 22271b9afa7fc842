//! Peers come, change and go; nobody else's packets wait meanwhile.

use crate::counters::bump;
use crate::noise::agreement::is_low_order;
use crate::peer::Peer;
use crate::{PeerConfig, PeerId, Refused, Wg, lock};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

/// What one declaration named so far.
#[derive(Default)]
struct Declared {
    ids: HashMap<PeerId, [u8; 32]>,
    keys: HashSet<[u8; 32]>,
    fresh: Vec<Arc<Peer>>,
}

impl Wg {
    /// Declares one peer, in constant time. Of the same id and key it keeps its sessions; of another key it is another.
    ///
    /// # Errors
    /// [`Refused`], and everything is as before.
    pub fn put_peer(&self, now: Instant, config: PeerConfig) -> Result<(), Refused> {
        let _held = lock(&self.declaring);
        if self
            .table
            .by_key(&config.public_key)
            .is_some_and(|holder| holder.id != config.id)
        {
            return Err(Refused::DuplicateKey);
        }
        let former = self.table.by_id(config.id);
        if let Some(kept) = former.as_ref().filter(|former| former.public_key == config.public_key) {
            self.update(now, kept, &config);
            return Ok(());
        }
        let peer = self.introduce(&config)?;
        if let Some(former) = former {
            self.retire(&former);
        }
        self.admit(now, peer);
        Ok(())
    }

    /// Takes a peer away, in constant time; false when there was none. When this returns its keys are gone, nothing more
    /// is sent to it and nothing of it is accepted; what a thread is sealing or opening at this moment is finished.
    pub fn remove_peer(&self, id: PeerId) -> bool {
        let _held = lock(&self.declaring);
        let peer = self.table.by_id(id);
        peer.iter().for_each(|peer| self.retire(peer));
        peer.is_some()
    }

    /// Declares all peers: who is not in `peers` is removed, who differs is changed, and nobody else notices. Returns
    /// the peers that were refused, with the reason; the others are in force.
    pub fn set_peers(&self, now: Instant, peers: Vec<PeerConfig>) -> Vec<(PeerId, Refused)> {
        let _held = lock(&self.declaring);
        let mut declared = Declared::default();
        let mut refused = Vec::new();
        for config in peers {
            if let Err(reason) = self.declare(now, &config, &mut declared) {
                refused.push((config.id, reason));
            }
        }
        for peer in self.table.all() {
            if declared.ids.get(&peer.id) != Some(&peer.public_key) {
                self.retire(&peer);
            }
        }
        declared.fresh.into_iter().for_each(|peer| self.admit(now, peer));
        refused
    }

    fn declare(&self, now: Instant, config: &PeerConfig, declared: &mut Declared) -> Result<(), Refused> {
        if declared.ids.contains_key(&config.id) {
            return Err(Refused::DuplicateId);
        }
        if declared.keys.contains(&config.public_key) {
            return Err(Refused::DuplicateKey);
        }
        let kept = self.table.by_id(config.id);
        match kept.filter(|kept| kept.public_key == config.public_key) {
            Some(kept) => self.update(now, &kept, config),
            None => declared.fresh.push(self.introduce(config)?),
        }
        declared.keys.insert(config.public_key);
        declared.ids.insert(config.id, config.public_key);
        Ok(())
    }

    /// A peer that can be spoken with; not in force yet.
    fn introduce(&self, config: &PeerConfig) -> Result<Arc<Peer>, Refused> {
        if config.public_key == *self.own.public() {
            return Err(Refused::OwnKey);
        }
        if is_low_order(&config.public_key) {
            return Err(Refused::LowOrderKey);
        }
        Ok(Arc::new(Peer::new(config, &self.waiting)))
    }

    fn admit(&self, now: Instant, peer: Arc<Peer>) {
        self.table.insert(&peer);
        let persistent = peer.lock().keepalive.is_some();
        if persistent || self.strangers.knows(&peer.public_key, now) {
            self.look_soon(now, &peer);
        }
    }

    fn update(&self, now: Instant, peer: &Peer, config: &PeerConfig) {
        if peer.update(now, config) {
            self.look_soon(now, peer);
        }
    }

    fn retire(&self, peer: &Peer) {
        self.table.remove(peer);
        let mut state = peer.lock();
        state.retired = true;
        self.drop_sessions(peer, &mut state);
        self.drop_pending(&mut state);
        bump(&self.counters.tx_dropped_no_session, state.queue.take().len() as u64);
        state.attempt = None;
        peer.move_to(None);
        drop(state);
        self.timers.forget(peer.id, &peer.alarm);
    }
}
