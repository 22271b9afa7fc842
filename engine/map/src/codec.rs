//! The file of a state: a mark, the signed bytes as protobuf, SHA-256 over both. Everything in it is verified again
//! when it is read; the digest only tells damage from forgery.

use std::sync::Arc;

use cloudvlan_gen::cloudvlan::engine::v1 as engine;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use prost::Message;
use prost_types::Timestamp;
use sha2::{Digest, Sha256};

use crate::error::{MapError, Reason};
use crate::head::Occasion;
use crate::hints;
use crate::signed;
use crate::state::State;
use crate::step::{self, Context};
use crate::store::Membership;
use crate::tombstones::{Floor, Tombstones};
use crate::workers::Workers;

const MARK: &[u8; 8] = b"CVLMAP1\n";
const DIGEST: usize = 32;

/// The private format of the file; not part of the contract.
#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(message, optional, tag = "1")]
    membership: Option<engine::Membership>,
    /// One frame that is the whole map; unset before the first.
    #[prost(message, optional, tag = "2")]
    map: Option<entity::MapUpdate>,
    #[prost(message, optional, tag = "3")]
    time_floor: Option<Timestamp>,
    #[prost(message, repeated, tag = "4")]
    node_tombstones: Vec<Tombstone>,
    #[prost(message, repeated, tag = "5")]
    rule_tombstones: Vec<Tombstone>,
    /// Without an id.
    #[prost(message, optional, tag = "6")]
    dns_floor: Option<Tombstone>,
    /// Without an id.
    #[prost(message, optional, tag = "7")]
    relay_map_floor: Option<Tombstone>,
}

#[derive(Clone, PartialEq, Message)]
struct Tombstone {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    revision: u64,
    #[prost(bytes = "vec", tag = "3")]
    digest: Vec<u8>,
}

/// Serialises a state.
pub(crate) fn encode(membership: &Membership, state: Option<&State>) -> Vec<u8> {
    let mut stored = Stored {
        membership: Some(membership.into()),
        ..Stored::default()
    };
    if let Some(state) = state {
        stored.map = Some(whole_map(state));
        stored.time_floor = Some(state.time_floor.into());
        stored.node_tombstones = bury(&state.node_tombstones, |id| id.as_bytes().to_vec());
        stored.rule_tombstones = bury(&state.rule_tombstones, |id| id.to_vec());
        stored.dns_floor = state.dns_floor.as_ref().map(|floor| stone(Vec::new(), floor));
        stored.relay_map_floor = state.relay_map_floor.as_ref().map(|floor| stone(Vec::new(), floor));
    }
    let mut bytes = MARK.to_vec();
    bytes.extend(stored.encode_to_vec());
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

/// Reads a state back and verifies every record in it.
pub(crate) fn decode(
    bytes: &[u8],
    own_key: &[u8; 32],
    workers: &dyn Workers,
) -> Result<(Membership, Option<State>), MapError> {
    let (content, digest) = bytes
        .split_last_chunk::<DIGEST>()
        .ok_or_else(|| damaged("is cut short"))?;
    if Sha256::digest(content).as_slice() != digest {
        return Err(damaged("its checksum does not hold"));
    }
    let body = content
        .strip_prefix(MARK)
        .ok_or_else(|| damaged("is of another version"))?;
    let stored = Stored::decode(body).map_err(|error| damaged(&error.to_string()))?;
    let membership = stored.membership.as_ref().ok_or_else(|| damaged("has no membership"))?;
    let membership = Membership::try_from(membership)?;
    let Some(map) = stored.map else {
        return Ok((membership, None));
    };

    let context = Context {
        membership: &membership,
        own_key,
        occasion: Occasion::Load,
        workers,
    };
    let (mut state, _) = step::apply(None, &[map], &context)?;
    let time_floor = signed::time("time_floor", stored.time_floor.as_ref())?;
    state.time_floor = state.time_floor.max(time_floor);
    state.node_tombstones = unbury(stored.node_tombstones, |id| String::from_utf8(id).ok())?;
    state.rule_tombstones = unbury(stored.rule_tombstones, |id| id.try_into().ok())?;
    if let Some(stone) = stored.dns_floor {
        state.dns_floor = Some(floor_of(&stone)?);
    }
    if let Some(stone) = stored.relay_map_floor {
        state.relay_map_floor = Some(floor_of(&stone)?);
    }
    Ok((membership, Some(state)))
}

fn whole_map(state: &State) -> entity::MapUpdate {
    let hint = |(id, endpoints): (&String, &Arc<[std::net::SocketAddr]>)| entity::EndpointHint {
        node_id: id.clone(),
        endpoints: hints::to_wire(endpoints),
    };
    entity::MapUpdate {
        previous: 0,
        revision: state.head.revision,
        full: true,
        more: false,
        head: state.head.bytes.clone(),
        keyset: state.keyset.bytes.clone(),
        root_transitions: state.roots.bytes(),
        nodes: state.nodes.values().map(|held| held.bytes.to_vec()).collect(),
        rules: state.rules.values().map(|held| held.bytes.to_vec()).collect(),
        hints: state.endpoints.iter().map(hint).collect(),
        dns: state.dns.as_ref().map_or_else(Vec::new, |held| held.bytes.to_vec()),
        relay_map: state
            .relay_map
            .as_ref()
            .map_or_else(Vec::new, |held| held.bytes.to_vec()),
        ..entity::MapUpdate::default()
    }
}

fn bury<K: Ord + Clone>(tombstones: &Tombstones<K>, to_bytes: impl Fn(&K) -> Vec<u8>) -> Vec<Tombstone> {
    tombstones
        .iter()
        .map(|(id, floor)| stone(to_bytes(id), floor))
        .collect()
}

fn stone(id: Vec<u8>, floor: &Floor) -> Tombstone {
    Tombstone {
        id,
        revision: floor.revision,
        digest: floor.digest.to_vec(),
    }
}

fn unbury<K: Ord + Clone>(
    stones: Vec<Tombstone>,
    from_bytes: impl Fn(Vec<u8>) -> Option<K>,
) -> Result<Tombstones<K>, MapError> {
    let mut tombstones = Tombstones::default();
    for stone in stones {
        let floor = floor_of(&stone)?;
        let id = from_bytes(stone.id).ok_or_else(garbled)?;
        tombstones.insert(id, floor);
    }
    Ok(tombstones)
}

fn floor_of(stone: &Tombstone) -> Result<Floor, MapError> {
    let digest = stone.digest.as_slice().try_into().map_err(|_| garbled())?;
    Ok(Floor {
        revision: stone.revision,
        digest,
    })
}

fn garbled() -> MapError {
    damaged("has a garbled tombstone")
}

fn damaged(detail: &str) -> MapError {
    MapError::new(Reason::Damaged, "map", format!("the stored map {detail}"))
}
