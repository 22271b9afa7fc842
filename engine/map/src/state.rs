//! A verified map, as records.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use cvlan_wire::{Dns, Node, Rule, RuleId};

use crate::error::{MapError, Reason};
use crate::head::Head;
use crate::keyset::Keyset;
use crate::roots::Roots;
use crate::tombstones::{Floor, Tombstones};
use crate::{MAX_PEERS, MAX_RULES};

/// Everything a step starts from and leads to. Never changed in place: a step makes the next one.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub head: Head,
    pub roots: Arc<Roots>,
    pub keyset: Arc<Keyset>,
    /// The latest `issued_at` of all heads seen: a lower bound for the time.
    pub time_floor: SystemTime,
    pub nodes: BTreeMap<String, Held<Node>>,
    pub rules: BTreeMap<RuleId, Held<Rule>>,
    pub dns: Option<Held<Dns>>,
    /// The newest DNS record seen, also after it went.
    pub dns_floor: Option<Floor>,
    pub endpoints: BTreeMap<String, Arc<[SocketAddr]>>,
    pub node_tombstones: Tombstones<String>,
    pub rule_tombstones: Tombstones<RuleId>,
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

impl State {
    /// Checks what no record shows alone: limits, and that an address and a WireGuard key belong to one node each.
    pub(crate) fn check(&self, own_id: &str, own_key: &[u8; 32]) -> Result<(), MapError> {
        let peers = self.nodes.len() - usize::from(self.nodes.contains_key(own_id));
        if peers > MAX_PEERS {
            return Err(MapError::new(
                Reason::TooMany,
                "nodes",
                format!("{peers} peers; at most {MAX_PEERS} are allowed"),
            ));
        }
        if self.rules.len() > MAX_RULES {
            let detail = format!("{} rules; at most {MAX_RULES} are allowed", self.rules.len());
            return Err(MapError::new(Reason::TooMany, "rules", detail));
        }
        if let Some(own) = self.nodes.get(own_id)
            && own.value.wireguard_public_key != *own_key
        {
            let detail = format!("the record of {own_id} names another WireGuard key than this engine's");
            return Err(MapError::new(Reason::OwnKeyMismatch, "nodes", detail));
        }
        let mut addresses = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for node in self.nodes.values().map(|held| &held.value) {
            if !keys.insert(&node.wireguard_public_key) {
                let detail = format!("{} has the WireGuard key of another node", node.node_id);
                return Err(MapError::new(Reason::DuplicateKey, "nodes", detail));
            }
            for address in &node.addresses {
                if !addresses.insert(address) {
                    let detail = format!("{} has address {address} of another node", node.node_id);
                    return Err(MapError::new(Reason::DuplicateAddress, "nodes", detail));
                }
            }
        }
        Ok(())
    }
}
