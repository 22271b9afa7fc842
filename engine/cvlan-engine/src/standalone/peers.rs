//! The peers of an interface as they were set.

use cvlan_route::Table;
use cvlan_uapi::{AllowedIp, PublicKey, Refused, SecretKey, SetDevice, SetPeer};
use cvlan_wg::{PeerConfig, PeerId, PresharedKey};
use cvlan_wire::{PeerHandle, Prefix};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

/// Peers of one interface, as many as wireguard-go takes.
const MAX_PEERS: usize = 1 << 16;
/// Allowed IPs of all peers together.
const MAX_ALLOWED_IPS: usize = 1 << 18;

/// One peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Stable for the public key as long as the peer is there.
    pub id: PeerId,
    /// X25519.
    pub public_key: PublicKey,
    /// Mixed into handshakes.
    pub preshared_key: Option<SecretKey>,
    /// Where it is until it is heard from elsewhere.
    pub endpoint: Option<SocketAddr>,
    /// Seconds.
    pub persistent_keepalive: Option<u16>,
    /// What may come from it and goes to it; nobody else has one of these.
    pub allowed_ips: BTreeSet<Prefix>,
}

impl Peer {
    fn new(id: PeerId, public_key: PublicKey) -> Self {
        Self {
            id,
            public_key,
            preshared_key: None,
            endpoint: None,
            persistent_keepalive: None,
            allowed_ips: BTreeSet::new(),
        }
    }

    /// As the sessions want it.
    pub fn config(&self) -> PeerConfig {
        PeerConfig {
            endpoint: self.endpoint,
            preshared_key: self
                .preshared_key
                .as_ref()
                .map(|key| PresharedKey::new(key.bytes().clone())),
            persistent_keepalive: self.persistent_keepalive,
            ..PeerConfig::new(self.id, self.public_key)
        }
    }
}

/// All peers. A copy is cheap: what did not change is shared.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    by_key: HashMap<PublicKey, Arc<Peer>>,
    owners: HashMap<Prefix, PublicKey>,
    table: Table,
    next_id: u32,
}

impl Peers {
    /// What the peers would be after a change.
    ///
    /// # Errors
    /// [`Refused::TooMany`].
    pub fn changed(&self, wanted: &SetDevice) -> Result<Self, Refused> {
        let mut next = if wanted.replace_peers {
            Self {
                next_id: self.next_id,
                ..Self::default()
            }
        } else {
            self.clone()
        };
        for change in &wanted.peers {
            next.change(change, self);
            if next.by_key.len() > MAX_PEERS || next.owners.len() > MAX_ALLOWED_IPS {
                return Err(Refused::TooMany);
            }
        }
        Ok(next)
    }

    fn change(&mut self, change: &SetPeer, former: &Self) {
        if change.remove {
            self.remove(&change.public_key);
            return;
        }
        if !self.by_key.contains_key(&change.public_key) {
            if change.update_only {
                return;
            }
            // Who is taken away and comes back in one request keeps its sessions.
            let id = former
                .by_key
                .get(&change.public_key)
                .map_or_else(|| self.new_id(), |peer| peer.id);
            let peer = Arc::new(Peer::new(id, change.public_key));
            self.by_key.insert(change.public_key, peer);
        }
        self.change_allowed_ips(change);
        let Some(peer) = self.by_key.get_mut(&change.public_key) else {
            return;
        };
        let peer = Arc::make_mut(peer);
        if let Some(key) = &change.preshared_key {
            peer.preshared_key = Some(key.clone()).filter(|key| !key.is_none());
        }
        peer.endpoint = change.endpoint.or(peer.endpoint);
        if let Some(seconds) = change.persistent_keepalive {
            peer.persistent_keepalive = Some(seconds).filter(|seconds| *seconds != 0);
        }
    }

    fn change_allowed_ips(&mut self, change: &SetPeer) {
        let key = change.public_key;
        if change.replace_allowed_ips {
            let all = self.by_key.get(&key).map(|peer| peer.allowed_ips.clone());
            all.iter().flatten().for_each(|prefix| self.disown(*prefix));
        }
        for allowed in &change.allowed_ips {
            match *allowed {
                AllowedIp::Add(prefix) => {
                    self.disown(prefix);
                    if let Some(peer) = self.by_key.get_mut(&key) {
                        self.owners.insert(prefix, key);
                        self.table.give(prefix, PeerHandle(peer.id.0));
                        Arc::make_mut(peer).allowed_ips.insert(prefix);
                    }
                }
                AllowedIp::Remove(prefix) if self.owners.get(&prefix) == Some(&key) => self.disown(prefix),
                AllowedIp::Remove(_) => {}
            }
        }
    }

    fn disown(&mut self, prefix: Prefix) {
        let former = self.owners.remove(&prefix);
        if let Some(peer) = former.and_then(|key| self.by_key.get_mut(&key)) {
            self.table.take_back(prefix, PeerHandle(peer.id.0));
            Arc::make_mut(peer).allowed_ips.remove(&prefix);
        }
    }

    fn new_id(&mut self) -> PeerId {
        let id = PeerId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        id
    }

    fn remove(&mut self, key: &PublicKey) {
        if let Some(peer) = self.by_key.remove(key) {
            for prefix in &peer.allowed_ips {
                self.owners.remove(prefix);
                self.table.take_back(*prefix, PeerHandle(peer.id.0));
            }
        }
    }

    /// Takes away the peer of a handle.
    pub fn remove_id(&mut self, id: PeerId) {
        let key = self.iter().find(|peer| peer.id == id).map(|peer| peer.public_key);
        key.iter().for_each(|key| self.remove(key));
    }

    /// One peer.
    pub fn get(&self, key: &PublicKey) -> Option<&Peer> {
        self.by_key.get(key).map(|peer| &**peer)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.by_key.values().map(|peer| &**peer)
    }

    /// Where addresses lead: to whom has the longest prefix that holds them.
    pub fn table(&self) -> &Table {
        &self.table
    }
}

#[cfg(test)]
mod tests;
