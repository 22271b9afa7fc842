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

/// All peers. A change costs what it touches, however many there are.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    by_key: HashMap<PublicKey, Arc<Peer>>,
    owners: HashMap<Prefix, PublicKey>,
    table: Table,
    next_id: u32,
}

/// What a change found; enough to take it back.
pub enum Former {
    /// All peers: others took their place.
    All(Box<Peers>),
    /// Those that it touched; None for one that was not there.
    Touched(HashMap<PublicKey, Option<Arc<Peer>>>),
}

impl Former {
    /// The handle of a peer that was there and was touched.
    pub fn id(&self, key: &PublicKey) -> Option<PeerId> {
        let peer = match self {
            Self::All(peers) => peers.by_key.get(key),
            Self::Touched(touched) => touched.get(key).and_then(Option::as_ref),
        };
        peer.map(|peer| peer.id)
    }

    /// Keeps what a peer was before the first change of it.
    fn keep(&mut self, key: PublicKey, peer: Option<&Arc<Peer>>) {
        if let Self::Touched(touched) = self {
            touched.entry(key).or_insert_with(|| peer.cloned());
        }
    }
}

impl Peers {
    /// Changes what is wanted.
    ///
    /// # Errors
    /// [`Refused::TooMany`], and nothing is changed.
    pub fn change(&mut self, wanted: &SetDevice) -> Result<Former, Refused> {
        let mut former = if wanted.replace_peers {
            let next_id = self.next_id;
            let all = std::mem::take(self);
            self.next_id = next_id;
            Former::All(Box::new(all))
        } else {
            Former::Touched(HashMap::new())
        };
        for change in &wanted.peers {
            self.change_one(change, &mut former);
            if self.by_key.len() > MAX_PEERS || self.owners.len() > MAX_ALLOWED_IPS {
                self.restore(former);
                return Err(Refused::TooMany);
            }
        }
        Ok(former)
    }

    /// Takes a change back that was the last.
    pub fn restore(&mut self, former: Former) {
        match former {
            Former::All(all) => *self = *all,
            Former::Touched(touched) => {
                touched.keys().for_each(|key| self.remove(key));
                for (key, peer) in touched {
                    if let Some(peer) = peer {
                        for prefix in &peer.allowed_ips {
                            self.owners.insert(*prefix, key);
                            self.table.give(*prefix, PeerHandle(peer.id.0));
                        }
                        self.by_key.insert(key, peer);
                    }
                }
            }
        }
    }

    fn change_one(&mut self, change: &SetPeer, former: &mut Former) {
        let key = change.public_key;
        if change.update_only && !change.remove && !self.by_key.contains_key(&key) {
            return;
        }
        former.keep(key, self.by_key.get(&key));
        if change.remove {
            self.remove(&key);
            return;
        }
        if !self.by_key.contains_key(&key) {
            // Who is taken away and comes back in one request keeps its sessions.
            let id = former.id(&key).unwrap_or_else(|| self.new_id());
            self.by_key.insert(key, Arc::new(Peer::new(id, key)));
        }
        self.change_allowed_ips(change, former);
        let Some(peer) = self.by_key.get_mut(&key) else {
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

    fn change_allowed_ips(&mut self, change: &SetPeer, former: &mut Former) {
        let key = change.public_key;
        if change.replace_allowed_ips {
            let all = self.by_key.get(&key).map(|peer| peer.allowed_ips.clone());
            all.iter().flatten().for_each(|prefix| self.disown(*prefix, former));
        }
        for allowed in &change.allowed_ips {
            match *allowed {
                AllowedIp::Add(prefix) => {
                    self.disown(prefix, former);
                    if let Some(peer) = self.by_key.get_mut(&key) {
                        self.owners.insert(prefix, key);
                        self.table.give(prefix, PeerHandle(peer.id.0));
                        Arc::make_mut(peer).allowed_ips.insert(prefix);
                    }
                }
                AllowedIp::Remove(prefix) if self.owners.get(&prefix) == Some(&key) => self.disown(prefix, former),
                AllowedIp::Remove(_) => {}
            }
        }
    }

    fn disown(&mut self, prefix: Prefix, former: &mut Former) {
        let Some(key) = self.owners.remove(&prefix) else { return };
        former.keep(key, self.by_key.get(&key));
        if let Some(peer) = self.by_key.get_mut(&key) {
            self.table.take_back(prefix, PeerHandle(peer.id.0));
            Arc::make_mut(peer).allowed_ips.remove(&prefix);
        }
    }

    fn new_id(&mut self) -> PeerId {
        let id = PeerId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        id
    }

    /// Takes away a peer.
    pub fn remove(&mut self, key: &PublicKey) {
        if let Some(peer) = self.by_key.remove(key) {
            for prefix in &peer.allowed_ips {
                self.owners.remove(prefix);
                self.table.take_back(*prefix, PeerHandle(peer.id.0));
            }
        }
    }

    /// The key of a handle.
    pub fn key_of(&self, id: PeerId) -> Option<PublicKey> {
        self.iter().find(|peer| peer.id == id).map(|peer| peer.public_key)
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
