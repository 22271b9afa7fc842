//! One end of a conversation: what its engine would go by, from the records in a question.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use cloudvlan_gen::cloudvlan::engine::v1 as engine;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_filter::{Compiled, Direction, Flows};
use cvlan_map::{Freshness, MAX_PEERS, MAX_RULES, Peer, Peers, StalePolicy, usable_endpoints};
use cvlan_route::Table;
use cvlan_wire::{Meta, Node, PeerHandle, Rule};

use crate::QuestionError;
use crate::evaluate::limit;
use crate::explain::{PathState, Records, View, follow};

/// Made of a view as an engine makes it of its map: the same tables, the same policy.
pub(crate) struct Side {
    pub own: Arc<Node>,
    pub rules: Vec<Arc<Rule>>,
    peers: Peers,
    freshness: Freshness,
    table: Table,
    policy: Compiled,
    epoch: u64,
    revision: u64,
}

impl Side {
    /// `field` names the view in errors.
    pub(crate) fn new(field: &str, view: &engine::MapView) -> Result<Self, QuestionError> {
        limit(&format!("{field}.peers"), view.peers.len(), MAX_PEERS)?;
        let own = node(&format!("{field}.own"), view.own.as_ref())?;
        let peers = peers(field, view, &own)?;
        let rules = rules(&format!("{field}.rules"), &view.rules)?;
        let freshness = match view.stale() {
            entity::StalePolicy::Unspecified => Freshness::Fresh,
            entity::StalePolicy::Keep => Freshness::Stale(StalePolicy::Keep),
            entity::StalePolicy::NoNewFlows => Freshness::Stale(StalePolicy::NoNewFlows),
            entity::StalePolicy::Stop => Freshness::Stale(StalePolicy::Stop),
        };
        let shared = || peers.iter().map(|(handle, peer)| (*handle, peer.node.clone()));
        let table = Table::compile(Some(own.clone()), shared());
        let policy = Compiled::new(1, Some(own.clone()), shared(), rules.iter().cloned());
        Ok(Self {
            own,
            rules,
            peers,
            freshness,
            table,
            policy,
            epoch: view.epoch,
            revision: view.revision,
        })
    }

    /// The hops of a packet that starts a flow here.
    pub(crate) fn follow(&self, direction: Direction, meta: &Meta, flows: &Flows) -> engine::ExplainResponse {
        let view = View {
            records: Some(Records {
                own: Some(&self.own),
                peers: &self.peers,
                rules: self.rules.len(),
                epoch: self.epoch,
                revision: self.revision,
            }),
            freshness: self.freshness,
            table: &self.table,
            policy: &self.policy,
            flows,
            now: Instant::now(),
        };
        follow(&view, direction, meta, |carrier| {
            match self.peers.get(&carrier).map_or(0, |peer| peer.endpoints.len()) {
                0 => PathState::NoEndpoint,
                endpoints => PathState::Untried(endpoints),
            }
        })
    }
}

/// Handles in the order of the ids, as an engine gives them out that reads its map from disk.
fn peers(field: &str, view: &engine::MapView, own: &Node) -> Result<Peers, QuestionError> {
    let mut by_id = BTreeMap::new();
    for (index, record) in view.peers.iter().enumerate() {
        let name = format!("{field}.peers[{index}]");
        let peer = node(&name, Some(record))?;
        if peer.node_id == own.node_id {
            return Err(QuestionError::new(name, "is the node whose view this is"));
        }
        if by_id.insert(peer.node_id.clone(), peer).is_some() {
            return Err(QuestionError::new(name, "is there twice"));
        }
    }
    let mut endpoints = BTreeMap::new();
    for (index, hint) in view.hints.iter().enumerate() {
        if !by_id.contains_key(&hint.node_id) {
            let problem = "is of a node that is not among the peers";
            return Err(QuestionError::new(format!("{field}.hints[{index}]"), problem));
        }
        endpoints.insert(hint.node_id.as_str(), usable_endpoints(&hint.endpoints));
    }
    Ok((0..)
        .map(PeerHandle)
        .zip(by_id.into_values().map(|node| {
            let endpoints = endpoints.remove(node.node_id.as_str()).unwrap_or_default().into();
            Peer { node, endpoints }
        }))
        .collect())
}

pub(crate) fn node(field: &str, record: Option<&entity::NodeRecord>) -> Result<Arc<Node>, QuestionError> {
    let record = record.ok_or_else(|| QuestionError::new(field, "is not set"))?;
    let node = Node::try_from(record).map_err(|error| QuestionError::new(field, error.to_string()))?;
    Ok(Arc::new(node))
}

/// Sorted as in a map, so that the same rule is named.
pub(crate) fn rules(field: &str, records: &[entity::RuleRecord]) -> Result<Vec<Arc<Rule>>, QuestionError> {
    limit(field, records.len(), MAX_RULES)?;
    let mut rules = Vec::with_capacity(records.len());
    for (index, record) in records.iter().enumerate() {
        let rule = Rule::try_from(record)
            .map_err(|error| QuestionError::new(format!("{field}[{index}]"), error.to_string()))?;
        rules.push(Arc::new(rule));
    }
    rules.sort_by_key(|rule| rule.id);
    Ok(rules)
}
