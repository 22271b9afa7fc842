//! One step of the map stream: frames in, the next state out, or a refusal.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_wire::{Dns, Node, RelayMap, Rule, RuleId};
use rpds::RedBlackTreeMapSync;
use sha2::{Digest, Sha256};

use crate::error::{MapError, Reason};
use crate::head::{Head, Occasion};
use crate::hints;
use crate::keyset::Keyset;
use crate::roots::Roots;
use crate::signed::{self, Domain};
use crate::state::{Held, State, Taken, Touched};
use crate::store::Membership;
use crate::tombstones::{Floor, Tombstones};
use crate::workers::Workers;
use crate::{MAX_DNS, MAX_FRAMES, MAX_RECORD, MAX_RELAY_MAP};

/// Records that are verified in one go.
const CHUNK: usize = 64;

/// What the state is verified against.
pub(crate) struct Context<'a> {
    pub membership: &'a Membership,
    pub own_key: &'a [u8; 32],
    pub occasion: Occasion,
    pub workers: &'a dyn Workers,
}

/// Applies the frames of one step to `former`. The time it takes grows with the step and not with the map.
pub(crate) fn apply(
    former: Option<&State>,
    frames: &[entity::MapUpdate],
    context: &Context<'_>,
) -> Result<(State, Touched), MapError> {
    let envelope = Envelope::read(frames)?;
    let roots = next_roots(former, frames, context.membership)?;
    let keyset = next_keyset(former, &envelope, &roots, &context.membership.tenant_id)?;
    let head = Head::open(envelope.head, &keyset, context.membership, context.occasion)?;
    check_order(former, &envelope, &head, context.occasion)?;

    // A restored controller begins an epoch with older records than some nodes saw; the new epoch, signed, says so.
    let seen = former.filter(|former| head.epoch == former.head.epoch);
    let (mut state, mut touched) = begin(former, &envelope, head, roots, keyset);
    state.dns_floor = seen.and_then(|seen| seen.dns_floor);
    state.relay_map_floor = seen.and_then(|seen| seen.relay_map_floor);
    let at = match context.occasion {
        Occasion::Arrival(now) => Some(now.max(state.time_floor)),
        Occasion::Load => None,
    };
    let records = Records {
        keyset: state.keyset.clone(),
        former,
        membership: context.membership,
        at,
    };
    for frame in frames {
        for id in &frame.removed_nodes {
            state.nodes.remove_mut(id);
            touched.nodes.insert(id.clone());
        }
        for id in &frame.removed_rules {
            let id = rule_id(id)?;
            state.rules.remove_mut(&id);
            touched.rules.insert(id);
        }
        for (id, record) in read_all(context.workers, &frame.nodes, |bytes| records.node(bytes))? {
            let floor = seen.and_then(|seen| floor_of(&seen.nodes, &seen.node_tombstones, &id));
            keep(&mut state.nodes, floor, Domain::Node, &id, record)?;
            touched.nodes.insert(id);
        }
        for (id, record) in read_all(context.workers, &frame.rules, |bytes| records.rule(bytes))? {
            let floor = seen.and_then(|seen| floor_of(&seen.rules, &seen.rule_tombstones, &id));
            keep(&mut state.rules, floor, Domain::Rule, &id, record)?;
            touched.rules.insert(id);
        }
        for hint in &frame.hints {
            let endpoints = hints::usable(&hint.endpoints).into();
            state.endpoints.insert_mut(hint.node_id.clone(), endpoints);
            touched.hints.insert(hint.node_id.clone());
        }
    }
    if let Some(bytes) = envelope.dns {
        let record = records.dns(bytes)?;
        follow(&mut state.dns_floor, &record, Domain::Dns)?;
        state.dns = Some(record);
    }
    if let Some(bytes) = envelope.relay_map {
        let record = records.relay_map(bytes)?;
        follow(&mut state.relay_map_floor, &record, Domain::RelayMap)?;
        state.relay_map = Some(record);
    }
    if let Some(seen) = seen {
        bury_gone(&touched.nodes, &seen.nodes, &state.nodes, &mut state.node_tombstones);
        bury_gone(&touched.rules, &seen.rules, &state.rules, &mut state.rule_tombstones);
    }
    for id in touched.nodes.iter().chain(&touched.hints) {
        if !state.nodes.contains_key(id) {
            state.endpoints.remove_mut(id);
        }
    }
    let base = former.filter(|_| !envelope.full);
    state.check(base, &touched, &context.membership.node_id, context.own_key)?;
    Ok((state, touched))
}

/// What the frames of a step say together.
struct Envelope<'a> {
    full: bool,
    previous: u64,
    revision: u64,
    head: &'a [u8],
    keyset: Option<&'a [u8]>,
    dns: Option<&'a [u8]>,
    relay_map: Option<&'a [u8]>,
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
        let relay_map = only(frames, "relay_map", |frame| &frame.relay_map)?;
        Ok(Self {
            full: first.full,
            previous: first.previous,
            revision: last.revision,
            head: &last.head,
            keyset,
            dns,
            relay_map,
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

fn check_order(
    former: Option<&State>,
    envelope: &Envelope<'_>,
    head: &Head,
    occasion: Occasion,
) -> Result<(), MapError> {
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
    let continues = match occasion {
        Occasion::Arrival(_) => stands == Some((head.epoch, envelope.previous)),
        // Heads that moved nothing were not kept, so that revisions are missing between the steps that were.
        Occasion::Load => stands.is_some_and(|(epoch, _)| epoch == head.epoch),
    };
    if !continues {
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
fn begin(
    former: Option<&State>,
    envelope: &Envelope<'_>,
    head: Head,
    roots: Arc<Roots>,
    keyset: Arc<Keyset>,
) -> (State, Touched) {
    let mut state = State {
        time_floor: former.map_or(head.issued_at, |former| former.time_floor.max(head.issued_at)),
        head: head.or_newer(former.map(|former| &former.head)),
        roots,
        keyset: keyset.clone(),
        nodes: Default::default(),
        taken: Taken::default(),
        rules: Default::default(),
        dns: None,
        dns_floor: None,
        relay_map: None,
        relay_map_floor: None,
        endpoints: Default::default(),
        node_tombstones: Tombstones::default(),
        rule_tombstones: Tombstones::default(),
    };
    let mut touched = Touched::default();
    let Some(former) = former else { return (state, touched) };
    state.endpoints = former.endpoints.clone();
    if state.head.epoch == former.head.epoch {
        state.node_tombstones = former.node_tombstones.clone();
        state.rule_tombstones = former.rule_tombstones.clone();
    }
    if envelope.full {
        touched.nodes = former.nodes.keys().cloned().collect();
        touched.rules = former.rules.keys().copied().collect();
        return (state, touched);
    }
    state.nodes = former.nodes.clone();
    state.taken = former.taken.clone();
    state.rules = former.rules.clone();
    state.dns = former.dns.clone();
    state.relay_map = former.relay_map.clone();
    if Arc::ptr_eq(&keyset, &former.keyset) {
        return (state, touched);
    }
    let lost = |key_id: &str| !keyset.agrees(&former.keyset, key_id);
    touched.nodes = unvouched(&former.nodes, lost);
    touched.rules = unvouched(&former.rules, lost);
    for id in &touched.nodes {
        state.nodes.remove_mut(id);
    }
    for id in &touched.rules {
        state.rules.remove_mut(id);
    }
    state.dns = state.dns.filter(|held| !lost(&held.key_id));
    state.relay_map = state.relay_map.filter(|held| !lost(&held.key_id));
    (state, touched)
}

fn unvouched<K: Ord + Clone, T>(held: &RedBlackTreeMapSync<K, Held<T>>, lost: impl Fn(&str) -> bool) -> BTreeSet<K> {
    let gone = held.iter().filter(|(_, record)| lost(&record.key_id));
    gone.map(|(id, _)| id.clone()).collect()
}

/// Reads records side by side; of several refusals the first in the order of the records counts.
fn read_all<T: Send + Sync>(
    workers: &dyn Workers,
    records: &[Vec<u8>],
    read: impl Fn(&[u8]) -> Result<T, MapError> + Sync,
) -> Result<Vec<T>, MapError> {
    let chunks: Vec<_> = records.chunks(CHUNK).map(|chunk| (chunk, OnceLock::new())).collect();
    workers.run(chunks.len(), &|index| {
        if let Some((records, done)) = chunks.get(index) {
            done.get_or_init(|| {
                records
                    .iter()
                    .map(|bytes| read(bytes))
                    .collect::<Result<Vec<T>, MapError>>()
            });
        }
    });
    let mut all = Vec::with_capacity(records.len());
    for (chunk, done) in chunks {
        all.extend(match done.into_inner() {
            Some(read) => read?,
            // A worker that ends early costs time and nothing else.
            None => chunk
                .iter()
                .map(|bytes| read(bytes))
                .collect::<Result<Vec<T>, MapError>>()?,
        });
    }
    Ok(all)
}

/// The newest version of a record that this node has seen.
fn floor_of<'a, K: Ord + Clone, T>(
    held: &'a RedBlackTreeMapSync<K, Held<T>>,
    tombstones: &'a Tombstones<K>,
    id: &K,
) -> Option<&'a Floor> {
    held.get(id).map(|record| &record.floor).or_else(|| tombstones.get(id))
}

fn bury_gone<K: Ord + Clone, T>(
    touched: &BTreeSet<K>,
    before: &RedBlackTreeMapSync<K, Held<T>>,
    after: &RedBlackTreeMapSync<K, Held<T>>,
    tombstones: &mut Tombstones<K>,
) {
    for id in touched {
        if after.contains_key(id) {
            tombstones.remove(id);
        } else if let Some(record) = before.get(id) {
            tombstones.insert(id.clone(), record.floor);
        }
    }
}

fn keep<K: Ord + Clone, T>(
    held: &mut RedBlackTreeMapSync<K, Held<T>>,
    seen: Option<&Floor>,
    domain: Domain,
    id: &K,
    record: Held<T>,
) -> Result<(), MapError> {
    let in_step = held.get(id).map(|former| &former.floor);
    for floor in [seen, in_step].into_iter().flatten() {
        admit(floor, &record.floor, domain)?;
    }
    held.insert_mut(id.clone(), record);
    Ok(())
}

/// Moves the floor of a record of which there is one to that of the next.
fn follow<T>(floor: &mut Option<Floor>, next: &Held<T>, domain: Domain) -> Result<(), MapError> {
    if let Some(floor) = floor {
        admit(floor, &next.floor, domain)?;
    }
    *floor = Some(next.floor);
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

/// Verifies node, DNS, relay map and rule records.
struct Records<'a> {
    keyset: Arc<Keyset>,
    former: Option<&'a State>,
    membership: &'a Membership,
    /// When keys must be valid; None for records that were accepted before.
    at: Option<SystemTime>,
}

impl Records<'_> {
    fn node(&self, bytes: &[u8]) -> Result<(String, Held<Node>), MapError> {
        let envelope = signed::unwrap(Domain::Node, bytes, MAX_RECORD)?;
        let record: entity::NodeRecord = signed::decode(Domain::Node, &envelope.payload)?;
        self.membership
            .check_scope(Domain::Node, &record.tenant_id, &record.cvlan_id)?;
        let known = self.former.and_then(|former| former.nodes.get(&record.node_id));
        if let Some(known) = self.unchanged(Domain::Node, &envelope, known, bytes)? {
            return Ok((record.node_id, known));
        }
        let key_id = self.verify(Domain::Node, &envelope)?;
        let node = Node::try_from(&record).map_err(|error| MapError::malformed("nodes", error.to_string()))?;
        let floor = floor(record.record_revision, &envelope.payload);
        Ok((record.node_id, hold(node, bytes, key_id, floor)))
    }

    fn dns(&self, bytes: &[u8]) -> Result<Held<Dns>, MapError> {
        let envelope = signed::unwrap(Domain::Dns, bytes, MAX_DNS)?;
        let record: entity::DnsRecord = signed::decode(Domain::Dns, &envelope.payload)?;
        self.membership
            .check_scope(Domain::Dns, &record.tenant_id, &record.cvlan_id)?;
        let known = self.former.and_then(|former| former.dns.as_ref());
        if let Some(known) = self.unchanged(Domain::Dns, &envelope, known, bytes)? {
            return Ok(known);
        }
        let key_id = self.verify(Domain::Dns, &envelope)?;
        let dns = Dns::try_from(&record).map_err(|error| MapError::malformed("dns", error.to_string()))?;
        let floor = floor(record.record_revision, &envelope.payload);
        Ok(hold(dns, bytes, key_id, floor))
    }

    fn relay_map(&self, bytes: &[u8]) -> Result<Held<RelayMap>, MapError> {
        let envelope = signed::unwrap(Domain::RelayMap, bytes, MAX_RELAY_MAP)?;
        let record: entity::RelayMap = signed::decode(Domain::RelayMap, &envelope.payload)?;
        self.membership
            .check_scope(Domain::RelayMap, &record.tenant_id, &record.cvlan_id)?;
        let known = self.former.and_then(|former| former.relay_map.as_ref());
        if let Some(known) = self.unchanged(Domain::RelayMap, &envelope, known, bytes)? {
            return Ok(known);
        }
        let key_id = self.verify(Domain::RelayMap, &envelope)?;
        let map = RelayMap::try_from(&record).map_err(|error| MapError::malformed("relay_map", error.to_string()))?;
        let floor = floor(record.record_revision, &envelope.payload);
        Ok(hold(map, bytes, key_id, floor))
    }

    fn rule(&self, bytes: &[u8]) -> Result<(RuleId, Held<Rule>), MapError> {
        let envelope = signed::unwrap(Domain::Rule, bytes, MAX_RECORD)?;
        let record: entity::RuleRecord = signed::decode(Domain::Rule, &envelope.payload)?;
        self.membership
            .check_scope(Domain::Rule, &record.tenant_id, &record.cvlan_id)?;
        let id = rule_id(&record.rule_id)?;
        let known = self.former.and_then(|former| former.rules.get(&id));
        if let Some(known) = self.unchanged(Domain::Rule, &envelope, known, bytes)? {
            return Ok((id, known));
        }
        let key_id = self.verify(Domain::Rule, &envelope)?;
        let rule = Rule::try_from(&record).map_err(|error| MapError::malformed("rules", error.to_string()))?;
        let floor = floor(record.policy_version, &envelope.payload);
        Ok((id, hold(rule, bytes, key_id, floor)))
    }

    /// The record that is held already, when this one is the same byte for byte: its signature was verified then, and
    /// the key must still be one that may sign it. Such a record may outlive the validity of its key but not the key.
    fn unchanged<T>(
        &self,
        domain: Domain,
        envelope: &entity::Signed,
        known: Option<&Held<T>>,
        bytes: &[u8],
    ) -> Result<Option<Held<T>>, MapError> {
        let (Some(former), Some(known)) = (self.former, known.filter(|known| *known.bytes == *bytes)) else {
            return Ok(None);
        };
        if self.keyset.agrees(&former.keyset, &envelope.key_id) {
            self.keyset.key(domain, &envelope.key_id)?;
            return Ok(Some(known.clone()));
        }
        self.keyset.verify(domain, envelope)?;
        Ok(Some(known.clone()))
    }

    fn verify(&self, domain: Domain, envelope: &entity::Signed) -> Result<Arc<str>, MapError> {
        let key = self.keyset.verify(domain, envelope)?;
        if let Some(at) = self.at {
            key.check_valid(domain, at)?;
        }
        Ok(key.id.clone())
    }
}

fn hold<T>(value: T, bytes: &[u8], key_id: Arc<str>, floor: Floor) -> Held<T> {
    Held {
        value: Arc::new(value),
        bytes: bytes.into(),
        key_id,
        floor,
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
