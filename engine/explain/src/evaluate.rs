//! Judges packets between two nodes by records alone: policy tests, previews, `cvlan-engine evaluate`.

use std::sync::Arc;

use cloudvlan_gen::cloudvlan::engine::v1 as engine;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_filter::{Compiled, Direction};
use cvlan_map::MAX_RULES;
use cvlan_wire::{Action, Node, PeerHandle, Rule};

use crate::QuestionError;
use crate::packet::meta;

/// Packets of one request.
pub const MAX_PACKETS: usize = 65_536;

/// Judges each packet as the source's engine does on its way out; the destination's engine comes to the same verdict.
/// Signatures are not looked at.
///
/// # Errors
/// [`QuestionError`] names the record or packet that is not well-formed.
pub fn evaluate(request: &engine::EvaluateRequest) -> Result<engine::EvaluateResponse, QuestionError> {
    limit("rules", request.rules.len(), MAX_RULES)?;
    limit("packets", request.packets.len(), MAX_PACKETS)?;
    let source = node("source", request.source.as_ref())?;
    let destination = node("destination", request.destination.as_ref())?;
    let mut rules = Vec::with_capacity(request.rules.len());
    for (index, record) in request.rules.iter().enumerate() {
        let rule =
            Rule::try_from(record).map_err(|error| QuestionError::new(format!("rules[{index}]"), error.to_string()))?;
        rules.push(Arc::new(rule));
    }
    // As in a map, so that the same rule is named.
    rules.sort_by_key(|rule| rule.id);

    let peer = PeerHandle(0);
    let policy = Compiled::new(1, Some(source), std::iter::once((peer, destination)), &rules);
    let mut verdicts = Vec::with_capacity(request.packets.len());
    for (index, packet) in request.packets.iter().enumerate() {
        let verdict = policy.judge(Direction::Outbound, peer, &meta(&format!("packets[{index}]"), packet)?);
        let action = verdict
            .rule
            .map_or(entity::PolicyAction::Unspecified, |rule| match rule.action {
                Action::Allow => entity::PolicyAction::Allow,
                Action::Deny => entity::PolicyAction::Deny,
            });
        verdicts.push(engine::Verdict {
            allowed: verdict.allowed,
            rule_name: verdict.rule.map(|rule| rule.name.clone()).unwrap_or_default(),
            action: action.into(),
        });
    }
    Ok(engine::EvaluateResponse { verdicts })
}

fn node(field: &str, record: Option<&entity::NodeRecord>) -> Result<Arc<Node>, QuestionError> {
    let record = record.ok_or_else(|| QuestionError::new(field, "is not set"))?;
    let node = Node::try_from(record).map_err(|error| QuestionError::new(field, error.to_string()))?;
    Ok(Arc::new(node))
}

fn limit(field: &str, count: usize, most: usize) -> Result<(), QuestionError> {
    if count > most {
        return Err(QuestionError::new(
            field,
            format!("{count} are more than {most}; ask in several requests"),
        ));
    }
    Ok(())
}
