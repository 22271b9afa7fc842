//! Answers to what-if questions, by the code that judges packets.

use crate::failure::Failure;
use crate::identity::Identity;
use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use cvlan_explain::{PathState, Records, View};
use cvlan_route::Table;
use cvlan_wg::PeerId;
use cvlan_wire::PeerHandle;
use prost::Message;
use std::time::{Instant, SystemTime};

/// See [`crate::Engine::explain`].
pub fn explain(
    identity: &Identity,
    request: &pb::ExplainRequest,
    time: SystemTime,
) -> Result<pb::ExplainResponse, Failure> {
    let now = Instant::now();
    let snapshot = identity.shared.snapshot();
    let nowhere = Table::default();
    // The newest head; a step that moves nothing else puts nothing new in force.
    let map = identity.store.map().filter(|_| snapshot.map.is_some());
    let view = View {
        records: map.as_deref().map(Records::from),
        freshness: identity.store.freshness(time),
        table: snapshot.table().unwrap_or(&nowhere),
        policy: &snapshot.policy,
        flows: &identity.shared.flows,
        now,
    };
    let path = |peer: PeerHandle| match identity.shared.wg.stats(PeerId(peer.0), now) {
        Some(stats) => match (stats.session, stats.endpoint, stats.candidates) {
            (true, Some(endpoint), _) => PathState::Established(endpoint),
            (_, None, 0) => PathState::NoEndpoint,
            (_, known, candidates) => PathState::Untried(candidates.max(usize::from(known.is_some()))),
        },
        None => PathState::NoEndpoint,
    };
    Ok(cvlan_explain::explain(&view, request, path)?)
}

/// Judges packets without an engine: a serialised `EvaluateRequest` in, a serialised `EvaluateResponse` out.
///
/// # Errors
/// Names the record or packet that is not well-formed.
pub fn evaluate(input: &[u8]) -> Result<Vec<u8>, Failure> {
    let request = pb::EvaluateRequest::decode(input).map_err(|error| {
        Failure::field(
            "",
            format!("the input is no EvaluateRequest: {error}"),
            "send the message in binary form",
        )
    })?;
    Ok(cvlan_explain::evaluate(&request)?.encode_to_vec())
}
