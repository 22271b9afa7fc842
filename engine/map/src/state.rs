//! A verified map, as records.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use cvlan_wire::{Dns, Node, RelayMap, Rule, RuleId};
use rpds::{HashTrieSetSync, RedBlackTreeMapSync};

use crate::error::{MapError, Reason};
use crate::head::Head;
use crate::keyset::Keyset;
use crate::roots::Roots;
use crate::tombstones::{Floor, Tombstones};
use crate::{MAX_PEERS, MAX_RULES};

/// Everything a step starts from and leads to. Never changed in place: a step makes the next one, which shares with it
/// whatever the step does not touch.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub head: Head,
    pub roots: Arc<Roots>,
    pub keyset: Arc<Keyset>,
    /// The latest `issued_at` of all heads seen: a lower bound for the time.
    pub time_floor: SystemTime,
    pub nodes: RedBlackTreeMapSync<String, Held<Node>>,
    pub taken: Taken,
    pub rules: RedBlackTreeMapSync<RuleId, Held<Rule>>,
    pub dns: Option<Held<Dns>>,
    /// The newest DNS record seen, also after it went.
    pub dns_floor: Option<Floor>,
    pub relay_map: Option<Held<RelayMap>>,
    /// The newest relay map seen, also after it went.
    pub relay_map_floor: Option<Floor>,
    pub endpoints: RedBlackTreeMapSync<String, Arc<[SocketAddr]>>,
    pub node_tombstones: Tombstones<String>,
    pub rule_tombstones: Tombstones<RuleId>,
}

/// Ids that a step may have changed; what is not named here is as before.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub nodes: BTreeSet<String>,
    pub rules: BTreeSet<RuleId>,
    /// Of nodes whose endpoints came.
    pub hints: BTreeSet<String>,
}

/// A verified record with the bytes that prove it.
#[derive(Debug)]
pub(crate) struct Held<T> {
    pub value: Arc<T>,
    pub bytes: Arc<[u8]>,
    pub key_id: Arc<str>,
    pub floor: Floor,
}

// Not derived: a clone shares the record, whatever it is.
impl<T> Clone for Held<T> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
            bytes: self.bytes.clone(),
            key_id: self.key_id.clone(),
            floor: self.floor,
        }
    }
}

/// What may belong to one node only.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    keys: HashTrieSetSync<[u8; 32]>,
    addresses: HashTrieSetSync<IpAddr>,
}

impl Taken {
    fn free(&mut self, node: &Node) {
        self.keys.remove_mut(&node.wireguard_public_key);
        for address in &node.addresses {
            self.addresses.remove_mut(address);
        }
    }

    fn take(&mut self, node: &Node) -> Result<(), MapError> {
        if self.keys.contains(&node.wireguard_public_key) {
            let detail = format!("{} has the WireGuard key of another node", node.node_id);
            return Err(MapError::new(Reason::DuplicateKey, "nodes", detail));
        }
        self.keys.insert_mut(node.wireguard_public_key);
        for address in &node.addresses {
            if self.addresses.contains(address) {
                let detail = format!("{} has address {address} of another node", node.node_id);
                return Err(MapError::new(Reason::DuplicateAddress, "nodes", detail));
            }
            self.addresses.insert_mut(*address);
        }
        Ok(())
    }
}

impl State {
    /// Checks what no record shows alone: limits, and that an address and a WireGuard key belong to one node each.
    /// `former` are the nodes that `self.taken` still speaks of.
    pub(crate) fn check(
        &mut self,
        former: Option<&State>,
        touched: &Touched,
        own_id: &str,
        own_key: &[u8; 32],
    ) -> Result<(), MapError> {
        let peers = self.nodes.size() - usize::from(self.nodes.contains_key(own_id));
        if peers > MAX_PEERS {
            return Err(MapError::new(
                Reason::TooMany,
                "nodes",
                format!("{peers} peers; at most {MAX_PEERS} are allowed"),
            ));
        }
        if self.rules.size() > MAX_RULES {
            let detail = format!("{} rules; at most {MAX_RULES} are allowed", self.rules.size());
            return Err(MapError::new(Reason::TooMany, "rules", detail));
        }
        if let Some(own) = self.nodes.get(own_id)
            && own.value.wireguard_public_key != *own_key
        {
            let detail = format!("the record of {own_id} names another WireGuard key than this engine's");
            return Err(MapError::new(Reason::OwnKeyMismatch, "nodes", detail));
        }
        // All go before any comes: within one step an address may move from one node to another.
        for gone in touched.nodes.iter().filter_map(|id| former?.nodes.get(id)) {
            self.taken.free(&gone.value);
        }
        for here in touched.nodes.iter().filter_map(|id| self.nodes.get(id)) {
            self.taken.take(&here.value)?;
        }
        Ok(())
    }
}
