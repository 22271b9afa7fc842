//! One step of the map stream: frames in, the next state out, or a refusal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_wire::{Dns, Node, Rule, RuleId};
use sha2::{Digest, Sha256};

use crate::error::{MapError, Reason};
use crate::head::{Head, Occasion};
use crate::hints;
use crate::keyset::Keyset;
use crate::roots::Roots;
use crate::signed::{self, Domain};
use crate::state::{Held, State};
use crate::store::Membership;
use crate::tombstones::{Floor, Tombstones};
use crate::{MAX_DNS, MAX_FRAMES, MAX_RECORD};

/// What the state is verified against.
pub(crate) struct Context<'a> {
    pub membership: &'a Membership,
    pub own_key: &'a [u8; 32],
    pub occasion: Occasion,
}

/// Applies the frames of one step to `former`.
pub(crate) fn apply(
    former: Option<&State>,
    frames: &[entity::MapUpdate],
    context: &Context<'_>,
) -> Result<State, MapError> {
    let envelope = Envelope::read(frames)?;
    let roots = next_roots(former, frames, context.membership)?;
    let keyset = next_keyset(former, &envelope, &roots, &context.membership.tenant_id)?;
    let head = Head::open(envelope.head, &keyset, context.membership, context.occasion)?;
    check_order(former, &envelope, &head)?;

    // A restored controller begins an epoch with older records than some nodes saw; the new epoch, signed, says so.
    let seen = former.filter(|former| head.epoch == former.head.epoch);
    let mut state = begin(former, &envelope, head, roots, keyset);
    state.dns_floor = seen.and_then(|seen| seen.dns_floor);
    let at = match context.occasion {
        Occasion::Arrival(now) => Some(now.max(state.time_floor)),
        Occasion::Load => None,
    };
    let records = Records {
        keyset: state.keyset.clone(),
        membership: context.membership,
        at,
    };
    for frame in frames {
        for id in &frame.removed_nodes {
            state.nodes.remove(id);
        }
        for id in &frame.removed_rules {
            state.rules.remove(&rule_id(id)?);
        }
        for bytes in &frame.nodes {
            let (id, record) = records.node(bytes, former.map(|former| &former.nodes))?;
            let floor = seen.and_then(|seen| floor_of(&seen.nodes, &seen.node_tombstones, &id));
            keep(&mut state.nodes, floor, Domain::Node, id, record)?;
        }
        for bytes in &frame.rules {
            let (id, record) = records.rule(bytes, former.map(|former| &former.rules))?;
            let floor = seen.and_then(|seen| floor_of(&seen.rules, &seen.rule_tombstones, &id));
            keep(&mut state.rules, floor, Domain::Rule, id, record)?;
        }
        for hint in &frame.hints {
            state
                .endpoints
                .insert(hint.node_id.clone(), hints::usable(&hint.endpoints).into());
        }
    }
    if let Some(bytes) = envelope.dns {
        let record = records.dns(bytes, former.and_then(|former| former.dns.as_ref()))?;
        if let Some(floor) = &state.dns_floor {
            admit(floor, &record.floor, Domain::Dns)?;
        }
        state.dns_floor = Some(record.floor);
        state.dns = Some(record);
    }
    if let Some(seen) = seen {
        state.node_tombstones = bury_gone(&seen.nodes, &state.nodes, &seen.node_tombstones);
        state.rule_tombstones = bury_gone(&seen.rules, &state.rules, &seen.rule_tombstones);
    }
    let State { endpoints, nodes, .. } = &mut state;
    endpoints.retain(|id, _| nodes.contains_key(id));
    state.check(&context.membership.node_id, context.own_key)?;
    Ok(state)
}

/// What the frames of a step say together.
struct Envelope<'a> {
    full: bool,
    previous: u64,
    revision: u64,
    head: &'a [u8],
    keyset: Option<&'a [u8]>,
    dns: Option<&'a [u8]>,
}

impl<'a> Envelope<'a> {
    fn read(frames: &'a [entity::MapUpdate]) -> Result<Self, MapError> {
        if frames.len() > MAX_FRAMES {
            let detail = format!("{} frames; at most {MAX_FRAMES} are allowed", frames.len());
            return Err(MapError::new(Reason::TooMany, "updates", detail));
        }
        let (Some(first), Some(last)) = (frames.first(), frames.last()) else {
            return Err(MapError::new(
                Reason::Truncated,
                "updates",
                "a step has at least one frame",
            ));
        };
        if last.more {
            return Err(MapError::new(
                Reason::Truncated,
                "updates",
                "the last frame says that more follow",
            ));
        }
        if frames.iter().rev().skip(1).any(|frame| !frame.more) {
            return Err(MapError::malformed("updates", "frames of more than one step"));
        }
        if frames.iter().skip(1).any(|frame| frame.full && !first.full) {
            return Err(MapError::new(
                Reason::Gap,
                "updates",
                "a full map begins in the middle of a step",
            ));
        }
        if first.full && first.previous != 0 {
            return Err(MapError::malformed("updates.previous", "is not 0 in a full map"));
        }
        if last.head.is_empty() {
            return Err(MapError::new(Reason::NoHead, "head", "the last frame has no head"));
        }
        let keyset = only(frames, "keyset", |frame| &frame.keyset)?;
        let dns = only(frames, "dns", |frame| &frame.dns)?;
        Ok(Self {
            full: first.full,
            previous: first.previous,
            revision: last.revision,
            head: &last.head,
            keyset,
            dns,
        })
    }
}

/// What at most one record of a step may say.
fn only<'a>(
    frames: &'a [entity::MapUpdate],
    field: &'static str,
    of: impl Fn(&'a entity::MapUpdate) -> &'a Vec<u8>,
) -> Result<Option<&'a [u8]>, MapError> {
    let mut found = frames
        .iter()
        .map(|frame| of(frame).as_slice())
        .filter(|bytes| !bytes.is_empty());
    let first = found.next();
    if found.any(|other| Some(other) != first) {
        return Err(MapError::malformed(field, "two different ones in one step"));
    }
    Ok(first)
}

/// The root keys as the step leaves them: the pinned one, or those that it and its successors signed.
fn next_roots(
    former: Option<&State>,
    frames: &[entity::MapUpdate],
    membership: &Membership,
) -> Result<Arc<Roots>, MapError> {
    let known = match former {
        Some(former) => former.roots.clone(),
        None => Arc::new(Roots::pinned(membership)?),
    };
    let mut transitions = frames.iter().flat_map(|frame| &frame.root_transitions).peekable();
    if transitions.peek().is_none() {
        return Ok(known);
    }
    known.follow(transitions, &membership.tenant_id).map(Arc::new)
}

fn next_keyset(
    former: Option<&State>,
    envelope: &Envelope<'_>,
    roots: &Roots,
    tenant_id: &str,
) -> Result<Arc<Keyset>, MapError> {
    let former = former.map(|former| &former.keyset);
    let Some(bytes) = envelope.keyset else {
        return former
            .cloned()
            .ok_or_else(|| MapError::new(Reason::UnknownKey, "keyset", "no keyset was received yet"));
    };
    if let Some(former) = former.filter(|former| former.bytes == bytes) {
        return Ok(former.clone());
    }
    let keyset = Keyset::open(bytes, roots.current(), tenant_id)?;
    if let Some(former) = former {
        keyset.check_succeeds(former)?;
    }
    Ok(Arc::new(keyset))
}

fn check_order(former: Option<&State>, envelope: &Envelope<'_>, head: &Head) -> Result<(), MapError> {
    if head.revision != envelope.revision {
        let detail = format!(
            "the head is of revision {}, the step of {}",
            head.revision, envelope.revision
        );
        return Err(MapError::new(Reason::HeadMismatch, "head.revision", detail));
    }
    if let Some(former) = former {
        head.check_succeeds(&former.head)?;
    }
    if envelope.full {
        return Ok(());
    }
    let stands = former.map(|former| (former.head.epoch, former.head.revision));
    if stands != Some((head.epoch, envelope.previous)) {
        let (epoch, revision) = stands.unwrap_or_default();
        let detail = format!(
            "continues from {}/{}, this node stands at {epoch}/{revision}",
            head.epoch, envelope.previous
        );
        return Err(MapError::new(Reason::Gap, "updates.previous", detail));
    }
    Ok(())
}

/// The state before the records of the step: what stays, and what the new keyset still vouches for.
fn begin(former: Option<&State>, envelope: &Envelope<'_>, head: Head, roots: Arc<Roots>, keyset: Arc<Keyset>) -> State {
    let (mut nodes, mut rules, mut dns) = (BTreeMap::new(), BTreeMap::new(), None);
    if let Some(former) = former.filter(|_| !envelope.full) {
        let vouched = |key_id: &str| keyset.agrees(&former.keyset, key_id);
        nodes = former.nodes.clone();
        nodes.retain(|_, held| vouched(&held.key_id));
        rules = former.rules.clone();
        rules.retain(|_, held| vouched(&held.key_id));
        dns = former.dns.clone().filter(|held| vouched(&held.key_id));
    }
    State {
        time_floor: former.map_or(head.issued_at, |former| former.time_floor.max(head.issued_at)),
        head: head.or_newer(former.map(|former| &former.head)),
        roots,
        keyset,
        nodes,
        rules,
        dns,
        dns_floor: None,
        endpoints: former.map(|former| former.endpoints.clone()).unwrap_or_default(),
        node_tombstones: Tombstones::default(),
        rule_tombstones: Tombstones::default(),
    }
}

/// The newest version of a record that this node has seen.
fn floor_of<'a, K: Ord + Clone, T>(
    held: &'a BTreeMap<K, Held<T>>,
    tombstones: &'a Tombstones<K>,
    id: &K,
) -> Option<&'a Floor> {
    held.get(id).map(|record| &record.floor).or_else(|| tombstones.get(id))
}

fn bury_gone<K: Ord + Clone, T>(
    before: &BTreeMap<K, Held<T>>,
    after: &BTreeMap<K, Held<T>>,
    tombstones: &Tombstones<K>,
) -> Tombstones<K> {
    let mut tombstones = tombstones.clone();
    for id in after.keys() {
        tombstones.remove(id);
    }
    for (id, record) in before.iter().filter(|(id, _)| !after.contains_key(id)) {
        tombstones.insert(id.clone(), record.floor);
    }
    tombstones
}

fn keep<K: Ord, T>(
    held: &mut BTreeMap<K, Held<T>>,
    seen: Option<&Floor>,
    domain: Domain,
    id: K,
    record: Held<T>,
) -> Result<(), MapError> {
    let in_step = held.get(&id).map(|former| &former.floor);
    for floor in [seen, in_step].into_iter().flatten() {
        admit(floor, &record.floor, domain)?;
    }
    held.insert(id, record);
    Ok(())
}

fn admit(floor: &Floor, next: &Floor, domain: Domain) -> Result<(), MapError> {
    if floor.admits(next) {
        return Ok(());
    }
    let detail = format!(
        "revision {} after {}, or another of the same",
        next.revision, floor.revision
    );
    Err(MapError::new(Reason::OldRecord, domain.field(), detail))
}

/// Verifies node, DNS and rule records.
struct Records<'a> {
    keyset: Arc<Keyset>,
    membership: &'a Membership,
    /// When keys must be valid; None for records that were accepted before.
    at: Option<SystemTime>,
}

impl Records<'_> {
    fn node(
        &self,
        bytes: &[u8],
        held: Option<&BTreeMap<String, Held<Node>>>,
    ) -> Result<(String, Held<Node>), MapError> {
        let envelope = signed::unwrap(Domain::Node, bytes, MAX_RECORD)?;
        let record: entity::NodeRecord = signed::decode(Domain::Node, &envelope.payload)?;
        self.membership
            .check_scope(Domain::Node, &record.tenant_id, &record.cvlan_id)?;
        let known = held.and_then(|held| held.get(&record.node_id));
        self.verify(Domain::Node, &envelope, known, bytes)?;
        let node = Node::try_from(&record).map_err(|error| MapError::malformed("nodes", error.to_string()))?;
        let floor = floor(record.record_revision, &envelope.payload);
        Ok((record.node_id, self.hold(node, bytes, &envelope, floor)))
    }

    fn dns(&self, bytes: &[u8], held: Option<&Held<Dns>>) -> Result<Held<Dns>, MapError> {
        let envelope = signed::unwrap(Domain::Dns, bytes, MAX_DNS)?;
        let record: entity::DnsRecord = signed::decode(Domain::Dns, &envelope.payload)?;
        self.membership
            .check_scope(Domain::Dns, &record.tenant_id, &record.cvlan_id)?;
        self.verify(Domain::Dns, &envelope, held, bytes)?;
        let dns = Dns::try_from(&record).map_err(|error| MapError::malformed("dns", error.to_string()))?;
        let floor = floor(record.record_revision, &envelope.payload);
        Ok(self.hold(dns, bytes, &envelope, floor))
    }

    fn rule(
        &self,
        bytes: &[u8],
        held: Option<&BTreeMap<RuleId, Held<Rule>>>,
    ) -> Result<(RuleId, Held<Rule>), MapError> {
        let envelope = signed::unwrap(Domain::Rule, bytes, MAX_RECORD)?;
        let record: entity::RuleRecord = signed::decode(Domain::Rule, &envelope.payload)?;
        self.membership
            .check_scope(Domain::Rule, &record.tenant_id, &record.cvlan_id)?;
        let id = rule_id(&record.rule_id)?;
        self.verify(Domain::Rule, &envelope, held.and_then(|held| held.get(&id)), bytes)?;
        let rule = Rule::try_from(&record).map_err(|error| MapError::malformed("rules", error.to_string()))?;
        let floor = floor(record.policy_version, &envelope.payload);
        Ok((id, self.hold(rule, bytes, &envelope, floor)))
    }

    /// A record that is held already, byte for byte, may outlive the validity of its key but not the key.
    fn verify<T>(
        &self,
        domain: Domain,
        envelope: &entity::Signed,
        known: Option<&Held<T>>,
        bytes: &[u8],
    ) -> Result<(), MapError> {
        let key = self.keyset.verify(domain, envelope)?;
        match self.at {
            Some(at) if known.is_none_or(|known| *known.bytes != *bytes) => key.check_valid(domain, at),
            Some(_) | None => Ok(()),
        }
    }

    fn hold<T>(&self, value: T, bytes: &[u8], envelope: &entity::Signed, floor: Floor) -> Held<T> {
        Held {
            value: Arc::new(value),
            bytes: bytes.into(),
            key_id: envelope.key_id.as_str().into(),
            floor,
        }
    }
}

fn floor(revision: u64, payload: &[u8]) -> Floor {
    Floor {
        revision,
        digest: Sha256::digest(payload).into(),
    }
}

fn rule_id(bytes: &[u8]) -> Result<RuleId, MapError> {
    RuleId::try_from(bytes).map_err(|_| MapError::malformed("rules", "a rule id has 16 bytes"))
}
