//! Judges packets between two nodes by records alone: policy tests, previews, `cvlan-engine evaluate`.

use std::sync::Arc;

use cloudvlan_gen::cloudvlan::engine::v1 as engine;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_filter::{Compiled, Direction, Flows};
use cvlan_wire::{Action, Meta, Node, PeerHandle, Rule};

use crate::QuestionError;
use crate::packet::meta;
use crate::side::{Side, node, rules};

/// Packets of one request.
pub const MAX_PACKETS: usize = 65_536;
/// Destinations of one request.
pub const MAX_DESTINATIONS: usize = 64;

/// Judges each packet as the source's engine does on its way out; the destination's engine comes to the same verdict.
/// With views, follows it through both. Signatures are not looked at.
///
/// # Errors
/// [`QuestionError`] names the record or packet that is not well-formed.
pub fn evaluate(request: &engine::EvaluateRequest) -> Result<engine::EvaluateResponse, QuestionError> {
    limit("packets", request.packets.len(), MAX_PACKETS)?;
    match &request.source_view {
        Some(view) => by_views(view, request),
        None => by_records(request),
    }
}

fn metas(request: &engine::EvaluateRequest) -> Result<Vec<Meta>, QuestionError> {
    let packets = request.packets.iter().enumerate();
    packets
        .map(|(index, packet)| meta(&format!("packets[{index}]"), packet))
        .collect()
}

fn by_records(request: &engine::EvaluateRequest) -> Result<engine::EvaluateResponse, QuestionError> {
    if !request.destination_views.is_empty() {
        return Err(QuestionError::new(
            "source_view",
            "is not set, and there are destination_views",
        ));
    }
    let source = node("source", request.source.as_ref())?;
    let destination = node("destination", request.destination.as_ref())?;
    let rules = rules("rules", &request.rules)?;
    let pair = Pair::new(source, destination, &rules);
    Ok(engine::EvaluateResponse {
        verdicts: metas(request)?.iter().map(|meta| pair.judge(meta)).collect(),
        followings: Vec::new(),
    })
}

fn by_views(
    view: &engine::MapView,
    request: &engine::EvaluateRequest,
) -> Result<engine::EvaluateResponse, QuestionError> {
    if request.source.is_some() || request.destination.is_some() || !request.rules.is_empty() {
        let problem = "stands in place of source, destination and rules; leave those out";
        return Err(QuestionError::new("source_view", problem));
    }
    limit("destination_views", request.destination_views.len(), MAX_DESTINATIONS)?;
    let source = Side::new("source_view", view)?;
    let mut destinations = Vec::with_capacity(request.destination_views.len());
    for (index, view) in request.destination_views.iter().enumerate() {
        let side = Side::new(&format!("destination_views[{index}]"), view)?;
        let pair = Pair::new(source.own.clone(), side.own.clone(), &source.rules);
        destinations.push((side, pair));
    }
    // Nothing flows yet.
    let flows = Flows::new(1, [0, 0]);
    let mut response = engine::EvaluateResponse::default();
    for meta in &metas(request)? {
        let outbound = source.follow(Direction::Outbound, meta, &flows);
        let routed = outbound
            .hops
            .iter()
            .find(|hop| hop.name == "route" && hop.ok)
            .map(|hop| hop.node_id.as_str());
        let reached = destinations
            .iter()
            .find(|(side, _)| routed == Some(side.own.node_id.as_str()));
        let pair = reached.or_else(|| destinations.first()).map(|(_, pair)| pair);
        response
            .verdicts
            .push(pair.map(|pair| pair.judge(meta)).unwrap_or_default());
        response.followings.push(engine::Following {
            outbound: Some(outbound),
            destination_id: reached.map(|(side, _)| side.own.node_id.clone()).unwrap_or_default(),
            inbound: reached.map(|(side, _)| side.follow(Direction::Inbound, meta, &flows)),
        });
    }
    Ok(response)
}

/// What the rules say of two nodes.
struct Pair(Compiled);

impl Pair {
    const DESTINATION: PeerHandle = PeerHandle(0);

    fn new(source: Arc<Node>, destination: Arc<Node>, rules: &[Arc<Rule>]) -> Self {
        let peers = std::iter::once((Self::DESTINATION, destination));
        Self(Compiled::new(1, Some(source), peers, rules.iter().cloned()))
    }

    fn judge(&self, meta: &Meta) -> engine::Verdict {
        let verdict = self.0.judge(Direction::Outbound, Self::DESTINATION, meta);
        let action = verdict
            .rule
            .map_or(entity::PolicyAction::Unspecified, |rule| match rule.action {
                Action::Allow => entity::PolicyAction::Allow,
                Action::Deny => entity::PolicyAction::Deny,
            });
        engine::Verdict {
            allowed: verdict.allowed,
            rule_name: verdict.rule.map(|rule| rule.name.clone()).unwrap_or_default(),
            action: action.into(),
            rule_id: verdict.rule.map(|rule| rule.id.to_vec()).unwrap_or_default(),
        }
    }
}

pub(crate) fn limit(field: &str, count: usize, most: usize) -> Result<(), QuestionError> {
    if count > most {
        return Err(QuestionError::new(
            field,
            format!("{count} are more than {most}; ask in several requests"),
        ));
    }
    Ok(())
}
