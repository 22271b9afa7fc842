//! The flow table: fixed in size, shared by the threads that move packets.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cvlan_wire::{IcmpKind, Meta, PeerHandle, Protocol, RuleId, Transport};
use siphasher::sip::SipHasher13;

use crate::Direction;
use crate::cache::Cache;
use crate::entry::Entry;
pub use crate::flow::Phase as Stage;
use crate::flow::{Admission, Basis, Flow, Judgement, Key, Phase, starts_flow};
use crate::fragments::{FragmentKey, Fragments};
use crate::policy::Compiled;

/// Locks of the table: enough that two threads rarely meet at one.
const SHARDS: usize = 64;

/// Less than the generation of any policy in force.
const JUDGED_BY_NOBODY: u64 = 0;

/// A flow as one process tells another of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowState {
    /// Whose the far address is.
    pub node: PeerHandle,
    /// IP protocol.
    pub protocol: Protocol,
    /// Address of this node or behind it.
    pub own: IpAddr,
    /// Address of the other node or behind it.
    pub far: IpAddr,
    /// Of the own address; for ICMP the identifier.
    pub own_port: u16,
    /// Of the far address; for ICMP the identifier.
    pub far_port: u16,
    /// Which way its first packet went.
    pub initiator: Direction,
    /// The rule that allowed it.
    pub rule: RuleId,
    /// Since its last packet.
    pub age: Duration,
    /// How far it is.
    pub stage: Stage,
}

/// What the policy allowed, so that answers pass.
///
/// The table never grows past its capacity. Where room is short, the peer that has most makes room, with the flow that is
/// worth least: ended before one-sided before established ones, and of these the one that was silent longest. No peer
/// takes an established flow from one that has no more than its share. A flow that loses its place, or finds none, starts
/// again with the next packet that the policy allows.
#[derive(Debug)]
pub struct Flows {
    shards: Vec<Mutex<Cache<Key, Flow>>>,
    fragments: Mutex<Fragments>,
    seed: [u64; 2],
}

impl Flows {
    /// A table for about `capacity` flows, at about 150 bytes each, taken as they come. `seed` is random and secret.
    pub fn new(capacity: usize, seed: [u64; 2]) -> Self {
        let shard = || Mutex::new(Cache::new(capacity.div_ceil(SHARDS)));
        Self {
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            fragments: Mutex::new(Fragments::new()),
            seed,
        }
    }

    /// Flows in the table, expired ones among them.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).values().count()).sum()
    }

    /// True when there is no flow.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The flows that live, for the process that follows this one. Fragments under way are not among them.
    pub fn tell(&self, now: Instant) -> Vec<FlowState> {
        let mut told = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let live = shard.iter().filter(|(key, flow)| !flow.is_expired(key.protocol, now));
            told.extend(live.map(|(key, flow)| FlowState {
                node: key.peer,
                protocol: key.protocol,
                own: key.own,
                far: key.far,
                own_port: key.own_port,
                far_port: key.far_port,
                initiator: flow.initiator,
                rule: flow.rule(),
                age: now.saturating_duration_since(flow.last_seen),
                stage: flow.phase,
            }));
        }
        told
    }

    /// Remembers a flow that another process told of; false when its rule is no longer there. Each is judged anew with its
    /// next packet: what the policy of this process does not allow does not pass, whatever the other one let.
    pub fn adopt(&self, policy: &Compiled, told: &FlowState, now: Instant) -> bool {
        let (Some(entry), Some(last_seen)) = (policy.entry(&told.rule), now.checked_sub(told.age)) else {
            return false;
        };
        let key = Key {
            peer: told.node,
            protocol: told.protocol,
            own: told.own,
            far: told.far,
            own_port: told.own_port,
            far_port: told.far_port,
        };
        let flow = Flow {
            initiator: told.initiator,
            entry: entry.clone(),
            generation: JUDGED_BY_NOBODY,
            last_seen,
            phase: told.stage,
        };
        let hash = self.hash(&key);
        let held = self.shard(hash).map(lock);
        held.is_some_and(|mut shard| shard.insert(hash, key, flow, |key| key.peer, |key, flow| flow.standing(key, now)))
    }

    /// Decides about a packet and remembers what must be remembered. `node` is whose the far address is.
    pub fn judge(
        &self,
        policy: &Compiled,
        direction: Direction,
        node: PeerHandle,
        meta: &Meta,
        now: Instant,
        admission: Admission,
    ) -> Judgement {
        let Some(fragment) = &meta.fragment else {
            return self.judge_whole(policy, direction, node, meta, now, admission, None);
        };
        let key = FragmentKey::of(direction, node, meta, fragment);
        let hash = self.hash(&key);
        if fragment.offset > 0 {
            return match lock(&self.fragments).flow(policy, hash, &key, now) {
                Some(flow) => pass_by(flow, direction, meta),
                None => Judgement::drop(Basis::NoFlow),
            };
        }
        let mut found = None;
        let judgement = self.judge_whole(policy, direction, node, meta, now, admission, Some(&mut found));
        match found.filter(|_| judgement.allowed) {
            Some(flow) => lock(&self.fragments).insert(hash, key, flow, now),
            None => lock(&self.fragments).remove(hash, &key),
        }
        judgement
    }

    /// What [`Flows::judge`] would decide about a whole packet, changing nothing.
    pub fn preview(
        &self,
        policy: &Compiled,
        direction: Direction,
        node: PeerHandle,
        meta: &Meta,
        now: Instant,
        admission: Admission,
    ) -> Judgement {
        let key = Key::of(direction, node, meta);
        let hash = self.hash(&key);
        let held = self.shard(hash).map(lock);
        let held = held.and_then(|shard| shard.get(hash, &key).cloned());
        if let Some(mut flow) = held
            && flow.is_allowed(policy, &key, now)
            && flow.carries(direction, &meta.transport)
        {
            return Judgement::pass(Basis::Flow(flow.rule()));
        }
        judge_first(policy, direction, node, meta, admission).0
    }

    /// `found` gets the flow that an allowed packet belongs to or begins.
    #[allow(clippy::too_many_arguments, reason = "the caller's, and one more for fragments")]
    fn judge_whole(
        &self,
        policy: &Compiled,
        direction: Direction,
        node: PeerHandle,
        meta: &Meta,
        now: Instant,
        admission: Admission,
        found: Option<&mut Option<(Key, Flow)>>,
    ) -> Judgement {
        let error = matches!(meta.transport, Transport::Icmp(IcmpKind::Error(_)));
        let key = match &meta.transport {
            // The error answers a packet that went the other way.
            Transport::Icmp(IcmpKind::Error(Some(quoted))) => Key::of_quoted(direction.reverse(), node, quoted),
            Transport::Icmp(IcmpKind::Error(None)) => return Judgement::drop(Basis::NoFlow),
            _ => Key::of(direction, node, meta),
        };
        let hash = self.hash(&key);
        let Some(mut shard) = self.shard(hash).map(lock) else {
            return Judgement::drop(Basis::NoFlow);
        };
        if let Some(flow) = shard.get_mut(hash, &key) {
            if !flow.is_allowed(policy, &key, now) {
                shard.remove(hash, &key);
            } else if error || flow.carries(direction, &meta.transport) {
                if !error {
                    flow.touch(direction, &meta.transport, now);
                }
                if let Some(found) = found {
                    *found = Some((key, flow.clone()));
                }
                return pass_by(flow, direction, meta);
            }
        }
        let (judgement, entry) = judge_first(policy, direction, node, meta, admission);
        let Some(entry) = entry else { return judgement };
        entry.count(direction, meta.length);
        if judgement.allowed {
            let mut flow = Flow {
                initiator: direction,
                entry: entry.clone(),
                generation: policy.generation(),
                last_seen: now,
                phase: Phase::Opening,
            };
            flow.touch(direction, &meta.transport, now);
            if let Some(found) = found {
                *found = Some((key, flow.clone()));
            }
            shard.insert(hash, key, flow, |key| key.peer, |key, flow| flow.standing(key, now));
        }
        judgement
    }

    fn hash(&self, key: &impl Hash) -> u64 {
        let [first, second] = self.seed;
        let mut hasher = SipHasher13::new_with_keys(first, second);
        key.hash(&mut hasher);
        hasher.finish()
    }

    /// By the low bits; the cache takes the high ones.
    fn shard(&self, hash: u64) -> Option<&Mutex<Cache<Key, Flow>>> {
        self.shards.get(usize::try_from(hash % SHARDS as u64).ok()?)
    }
}

/// Lets a packet of a flow pass.
fn pass_by(flow: &Flow, direction: Direction, meta: &Meta) -> Judgement {
    flow.entry.count(direction, meta.length);
    Judgement::pass(Basis::Flow(flow.rule()))
}

/// Decides about a packet that belongs to no flow; with the rule that decided.
fn judge_first<'a>(
    policy: &'a Compiled,
    direction: Direction,
    node: PeerHandle,
    meta: &Meta,
    admission: Admission,
) -> (Judgement, Option<&'a Arc<Entry>>) {
    if !starts_flow(&meta.transport) {
        return (Judgement::drop(Basis::NoFlow), None);
    }
    let (allowed, entry) = policy.decide(direction, node, meta);
    let basis = Basis::Rule(entry.map(|entry| entry.rule.id));
    match (allowed, admission) {
        (true, Admission::New) => (Judgement::pass(basis), entry),
        (true, Admission::EstablishedOnly) => (Judgement::drop(Basis::Stale), None),
        (false, _) => (Judgement::drop(basis), entry),
    }
}

/// A panic elsewhere leaves the table consistent: every change of it is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
