//! The flow table: fixed in size, shared by the threads that move packets.

use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cvlan_wire::{IcmpKind, Meta, PeerHandle, RuleId, Transport};
use siphasher::sip::SipHasher13;

use crate::Direction;
use crate::cache::Cache;
use crate::flow::{Admission, Basis, Flow, Judgement, Key, Phase, starts_flow};
use crate::fragments::{FragmentKey, Fragments};
use crate::policy::Compiled;

/// Locks of the table: enough that two threads rarely meet at one.
const SHARDS: usize = 64;

/// What the policy allowed, so that answers pass.
///
/// The table never grows past its capacity. Where room is short, the flow that is worth least makes room: ended before one-sided before
/// established ones, and of these the one that was silent longest. A flow that loses its place starts again with the
/// next packet that the policy allows.
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
            return self.judge_whole(policy, direction, node, meta, now, admission);
        };
        let key = FragmentKey::of(direction, node, meta, fragment);
        let hash = self.hash(&key);
        if fragment.offset > 0 {
            let rule = lock(&self.fragments).rule(hash, &key, policy.generation(), now);
            return rule.map_or(Judgement::drop(Basis::NoFlow), |rule| {
                Judgement::pass(Basis::Flow(rule))
            });
        }
        let judgement = self.judge_whole(policy, direction, node, meta, now, admission);
        match (judgement.allowed, judgement.basis) {
            (true, Basis::Rule(Some(rule)) | Basis::Flow(rule)) => {
                lock(&self.fragments).insert(hash, key, rule, policy.generation(), now);
            }
            _ => lock(&self.fragments).remove(hash, &key),
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
        let shard = self.shard(hash).map(lock);
        let flow = shard.as_ref().and_then(|shard| shard.get(hash, &key)).copied();
        let rule = flow.and_then(|flow| still_allowed(policy, &key, &flow, now).map(|rule| (flow, rule)));
        match rule {
            Some((flow, rule)) if flow.carries(direction, &meta.transport) => Judgement::pass(Basis::Flow(rule)),
            _ => judge_first(policy, direction, node, meta, admission),
        }
    }

    fn judge_whole(
        &self,
        policy: &Compiled,
        direction: Direction,
        node: PeerHandle,
        meta: &Meta,
        now: Instant,
        admission: Admission,
    ) -> Judgement {
        if let Transport::Icmp(IcmpKind::Error(quoted)) = &meta.transport {
            // The error answers a packet that went the other way.
            let key = quoted.map(|quoted| Key::of_quoted(direction.reverse(), node, &quoted));
            let rule = key.and_then(|key| self.rule_of(policy, &key, now));
            return rule.map_or(Judgement::drop(Basis::NoFlow), |rule| {
                Judgement::pass(Basis::Flow(rule))
            });
        }
        let key = Key::of(direction, node, meta);
        let hash = self.hash(&key);
        let Some(mut shard) = self.shard(hash).map(lock) else {
            return Judgement::drop(Basis::NoFlow);
        };
        if let Some(flow) = shard.get_mut(hash, &key) {
            match still_allowed(policy, &key, flow, now) {
                Some(rule) => {
                    flow.rule = rule;
                    flow.generation = flow.generation.max(policy.generation());
                    if flow.carries(direction, &meta.transport) {
                        flow.touch(direction, &meta.transport, now);
                        return Judgement::pass(Basis::Flow(rule));
                    }
                }
                None => shard.remove(hash, &key),
            }
        }
        let judgement = judge_first(policy, direction, node, meta, admission);
        if let (true, Basis::Rule(Some(rule))) = (judgement.allowed, judgement.basis) {
            let generation = policy.generation();
            let mut flow = Flow {
                initiator: direction,
                rule,
                generation,
                last_seen: now,
                phase: Phase::Opening,
            };
            flow.touch(direction, &meta.transport, now);
            shard.insert(hash, key, flow, |flow| (flow.phase, flow.last_seen));
        }
        judgement
    }

    /// The rule that allows the flow of `key`, if there is one.
    fn rule_of(&self, policy: &Compiled, key: &Key, now: Instant) -> Option<RuleId> {
        let hash = self.hash(key);
        let shard = lock(self.shard(hash)?);
        let flow = shard.get(hash, key)?;
        still_allowed(policy, key, flow, now)
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

/// The rule that allows a flow now: the one that did, or what a newer policy says of the packet that started it.
fn still_allowed(policy: &Compiled, key: &Key, flow: &Flow, now: Instant) -> Option<RuleId> {
    if flow.is_expired(key.protocol, now) {
        return None;
    }
    if flow.generation >= policy.generation() {
        return Some(flow.rule);
    }
    let kind = key.kind(flow.initiator);
    let verdict = policy.judge_kind(flow.initiator, key.peer, key.own, key.far, kind);
    verdict.rule.filter(|_| verdict.allowed).map(|rule| rule.id)
}

/// Decides about a packet that belongs to no flow.
fn judge_first(
    policy: &Compiled,
    direction: Direction,
    node: PeerHandle,
    meta: &Meta,
    admission: Admission,
) -> Judgement {
    if !starts_flow(&meta.transport) {
        return Judgement::drop(Basis::NoFlow);
    }
    let verdict = policy.judge(direction, node, meta);
    let basis = Basis::Rule(verdict.rule.map(|rule| rule.id));
    match (verdict.allowed, admission) {
        (true, Admission::New) => Judgement::pass(basis),
        (true, Admission::EstablishedOnly) => Judgement::drop(Basis::Stale),
        (false, _) => Judgement::drop(basis),
    }
}

/// A panic elsewhere leaves the table consistent: every change of it is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
