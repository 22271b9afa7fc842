//! The keeper of the map: memory and disk move together or not at all.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cloudvlan_gen::cloudvlan::engine::v1 as engine;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_wire::{Node, Rule};
use sha2::{Digest, Sha256};

use crate::codec;
use crate::error::{MapError, Reason};
use crate::handles::Handles;
use crate::head::{Occasion, StalePolicy};
use crate::journal::{self, Journal};
use crate::signed::{self, Domain};
use crate::state::{Held, State, Touched};
use crate::step::{self, Context};
use crate::storage::{Slot, Storage};
use crate::view::{Map, MapDiff};
use crate::workers::{InTurn, Workers};

/// A step that moves nothing but the head reaches the disk when its head is this much newer than the one there:
/// a restart may forget so much of the lower bound for time, and nothing of the map.
const HEAD_INTERVAL: Duration = Duration::from_secs(300);

/// Whom the node believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The tenant.
    pub tenant_id: String,
    /// The cvlan.
    pub cvlan_id: String,
    /// This node.
    pub node_id: String,
    /// Ed25519 root key of the tenant.
    pub root_public_key: [u8; 32],
}

impl Membership {
    pub(crate) fn check_scope(&self, domain: Domain, tenant_id: &str, cvlan_id: &str) -> Result<(), MapError> {
        if tenant_id != self.tenant_id {
            return Err(MapError::new(
                Reason::WrongTenant,
                domain.field(),
                "is of another tenant",
            ));
        }
        if cvlan_id != self.cvlan_id {
            return Err(MapError::new(Reason::WrongCvlan, domain.field(), "is of another cvlan"));
        }
        Ok(())
    }
}

impl TryFrom<&engine::Membership> for Membership {
    type Error = MapError;

    fn try_from(membership: &engine::Membership) -> Result<Self, MapError> {
        let id = |field, value: &String| {
            let fits = (1..=cvlan_wire::record::MAX_NAME).contains(&value.len());
            if fits {
                Ok(value.clone())
            } else {
                Err(MapError::malformed(field, "is not 1 to 64 bytes long"))
            }
        };
        let root = signed::public_key("membership.root_public_key", &membership.root_public_key)?;
        Ok(Self {
            tenant_id: id("membership.tenant_id", &membership.tenant_id)?,
            cvlan_id: id("membership.cvlan_id", &membership.cvlan_id)?,
            node_id: id("membership.node_id", &membership.node_id)?,
            root_public_key: root.to_bytes(),
        })
    }
}

impl From<&Membership> for engine::Membership {
    fn from(membership: &Membership) -> Self {
        Self {
            tenant_id: membership.tenant_id.clone(),
            cvlan_id: membership.cvlan_id.clone(),
            node_id: membership.node_id.clone(),
            root_public_key: membership.root_public_key.to_vec(),
        }
    }
}

/// Whether the map still says how things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// There is no map; nothing may be forwarded.
    NoMap,
    /// Within its time.
    Fresh,
    /// Past its time.
    Stale(StalePolicy),
}

/// The map of one membership.
pub struct MapStore {
    storage: Box<dyn Storage + Send>,
    own_key: [u8; 32],
    membership: Option<Membership>,
    state: Option<State>,
    map: Option<Arc<Map>>,
    handles: Handles,
    stored_head_at: Option<SystemTime>,
    /// Where the next step is kept; None while the whole state must be written.
    journal: Option<Journal>,
    workers: Box<dyn Workers>,
    /// Digest of the last step, so that its repetition is no error.
    last_step: Option<[u8; 32]>,
    problem: Option<MapError>,
}

impl MapStore {
    /// Reads and verifies what the storage holds. A state that is damaged or does not verify is put aside, the one
    /// before takes its place, and [`MapStore::load_problem`] says so. `own_key` is the engine's WireGuard public key.
    ///
    /// # Errors
    /// [`Reason::Storage`] when the storage cannot be read or written.
    pub fn open(storage: Box<dyn Storage + Send>, own_key: [u8; 32]) -> Result<Self, MapError> {
        Self::open_with(storage, own_key, Box::new(InTurn))
    }

    /// [`MapStore::open`] with somebody who verifies records side by side.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(
        storage: Box<dyn Storage + Send>,
        own_key: [u8; 32],
        workers: Box<dyn Workers>,
    ) -> Result<Self, MapError> {
        let mut store = Self {
            storage,
            own_key,
            membership: None,
            state: None,
            map: None,
            handles: Handles::default(),
            stored_head_at: None,
            journal: None,
            workers,
            last_step: None,
            problem: None,
        };
        if !store.load(Slot::Current)? {
            if store.problem.is_some() {
                store.storage.set_aside().map_err(|error| unwritable(&error))?;
            }
            store.load(Slot::Previous)?;
        }
        Ok(store)
    }

    /// What was wrong with the stored state when it was opened, until a full map repaired it.
    pub fn load_problem(&self) -> Option<&MapError> {
        self.problem.as_ref()
    }

    /// Whom the node believes; None before it joined.
    pub fn membership(&self) -> Option<&Membership> {
        self.membership.as_ref()
    }

    /// Sets whom the node believes, once; the same again changes nothing. A root key that signed its successor, and the
    /// successor, count as the same.
    ///
    /// # Errors
    /// [`Reason::MembershipConflict`] when another is set, [`Reason::Storage`] when the disk does not take it.
    pub fn set_membership(&mut self, membership: Membership) -> Result<(), MapError> {
        match &self.membership {
            Some(former) if self.is_same(former, &membership) => Ok(()),
            Some(_) => {
                let detail = "this state directory belongs to another membership";
                Err(MapError::new(Reason::MembershipConflict, "membership", detail))
            }
            None => {
                self.write_whole(&codec::encode(&membership, None))?;
                self.membership = Some(membership);
                Ok(())
            }
        }
    }

    /// Sets whom the node believes and applies the first step, both or neither.
    ///
    /// # Errors
    /// As [`MapStore::set_membership`] and [`MapStore::apply`].
    pub fn begin(
        &mut self,
        membership: Membership,
        frames: &[entity::MapUpdate],
        now: SystemTime,
    ) -> Result<MapDiff, MapError> {
        if self.membership.is_some() {
            self.set_membership(membership)?;
            return self.apply(frames, now);
        }
        self.membership = Some(membership);
        let applied = self.apply(frames, now);
        if applied.is_err() {
            self.membership = None;
        }
        applied
    }

    fn is_same(&self, former: &Membership, membership: &Membership) -> bool {
        let followed = |key| self.state.as_ref().is_some_and(|state| state.roots.knows(key));
        let with_former_root = Membership {
            root_public_key: former.root_public_key,
            ..membership.clone()
        };
        *former == with_former_root
            && (former.root_public_key == membership.root_public_key || followed(&membership.root_public_key))
    }

    /// Applies one step of the map stream, all of it or nothing. The last step again is no error and changes nothing.
    ///
    /// # Errors
    /// Any [`Reason`]; map and disk are as before.
    pub fn apply(&mut self, frames: &[entity::MapUpdate], now: SystemTime) -> Result<MapDiff, MapError> {
        let membership = self.membership.as_ref().ok_or_else(|| {
            MapError::new(
                Reason::NoMembership,
                "settings.membership",
                "a map cannot be verified without it",
            )
        })?;
        let step = journal::write_step(frames);
        let digest = Sha256::digest(&step).into();
        if self.last_step == Some(digest) {
            return Ok(MapDiff::default());
        }
        let context = Context {
            membership,
            own_key: &self.own_key,
            occasion: Occasion::Arrival(self.lower_bounded(now)),
            workers: &*self.workers,
        };
        let full = frames.first().is_some_and(|frame| frame.full);
        let next = self.next(frames, &context)?;
        if self.must_store(&next) {
            self.keep(&next.state, &step, full)?;
            self.stored_head_at = Some(next.state.head.issued_at);
        }
        if full {
            self.problem = None;
        }
        self.last_step = Some(digest);
        Ok(self.adopt(next))
    }

    /// The map in force; None before the first.
    pub fn map(&self) -> Option<Arc<Map>> {
        self.map.clone()
    }

    /// Whether the map still says how things are. Time never runs behind the newest head.
    pub fn freshness(&self, now: SystemTime) -> Freshness {
        match &self.state {
            None => Freshness::NoMap,
            Some(state) if self.lower_bounded(now) < state.head.expires_at => Freshness::Fresh,
            Some(state) => Freshness::Stale(state.head.stale_policy),
        }
    }

    /// Where the map stands, for status; zero before the first.
    pub fn position(&self, now: SystemTime) -> engine::MapState {
        let damage = self.problem.as_ref().map(ToString::to_string).unwrap_or_default();
        let Some(state) = &self.state else {
            return engine::MapState {
                damage,
                ..engine::MapState::default()
            };
        };
        engine::MapState {
            epoch: state.head.epoch,
            revision: state.head.revision,
            keyset_version: state.keyset.version,
            head_issued_at: Some(state.head.issued_at.into()),
            head_expires_at: Some(state.head.expires_at.into()),
            stale: self.freshness(now) != Freshness::Fresh,
            damage,
        }
    }

    fn lower_bounded(&self, now: SystemTime) -> SystemTime {
        self.state.as_ref().map_or(now, |state| now.max(state.time_floor))
    }

    fn load(&mut self, slot: Slot) -> Result<bool, MapError> {
        let Some(bytes) = self.storage.read(slot).map_err(unreadable)? else {
            return Ok(false);
        };
        let (membership, state) = match codec::decode(&bytes, &self.own_key, &*self.workers) {
            Ok(read) => read,
            Err(error) => {
                // The first problem is the one worth telling.
                self.problem.get_or_insert(error);
                return Ok(false);
            }
        };
        if let Some(state) = state {
            let touched = Touched {
                nodes: state.nodes.keys().cloned().collect(),
                rules: state.rules.keys().copied().collect(),
                hints: Default::default(),
            };
            let next = self.beside(state, &touched, &membership.node_id)?;
            self.adopt(next);
        }
        self.membership = Some(membership);
        self.replay(slot, &bytes)?;
        self.stored_head_at = self.state.as_ref().map(|state| state.head.issued_at);
        Ok(true)
    }

    /// Goes on with the steps that were kept after `state`, as far as they hold; and where they lead to the state that
    /// the other journal goes on from, with those.
    fn replay(&mut self, slot: Slot, state: &[u8]) -> Result<(), MapError> {
        let current = self.storage.journal(Slot::Current).map_err(unreadable)?;
        let previous = self.storage.journal(Slot::Previous).map_err(unreadable)?;
        self.journal = Journal::of(state).filter(|_| slot == Slot::Current);
        let mut at = state.to_vec();
        for _ in 0..2 {
            let found = [&current, &previous].into_iter().find_map(|journal| {
                let bytes = journal.as_deref()?;
                Some((journal::steps(&at, bytes)?, std::ptr::eq(journal, &current)))
            });
            let Some((mut steps, is_current)) = found else {
                return Ok(());
            };
            for step in &mut steps {
                if let Err(error) = step.and_then(|frames| self.again(&frames)) {
                    self.problem.get_or_insert(error);
                    self.journal = None;
                    return Ok(());
                }
            }
            self.journal = Some(steps.journal()).filter(|_| is_current && slot == Slot::Current);
            let Some(membership) = &self.membership else {
                return Ok(());
            };
            at = codec::encode(membership, self.state.as_ref());
        }
        Ok(())
    }

    /// Takes a step that was accepted before.
    fn again(&mut self, frames: &[entity::MapUpdate]) -> Result<(), MapError> {
        let Some(membership) = &self.membership else {
            return Ok(());
        };
        let context = Context {
            membership,
            own_key: &self.own_key,
            occasion: Occasion::Load,
            workers: &*self.workers,
        };
        let next = self.next(frames, &context)?;
        self.adopt(next);
        Ok(())
    }

    /// What a step leads to; nothing is changed yet.
    fn next(&self, frames: &[entity::MapUpdate], context: &Context<'_>) -> Result<Next, MapError> {
        let (state, touched) = step::apply(self.state.as_ref(), frames, context)?;
        self.beside(state, &touched, &context.membership.node_id)
    }

    fn beside(&self, state: State, touched: &Touched, own_id: &str) -> Result<Next, MapError> {
        let mut handles = self.handles.clone();
        let peers = || touched.nodes.iter().filter(|id| *id != own_id);
        handles.assign(peers().filter(|id| state.nodes.contains_key(*id)))?;
        let (map, diff) = Map::follow(self.map.as_deref(), &state, touched, own_id, &handles);
        for gone in peers().filter(|id| !state.nodes.contains_key(*id)) {
            handles.retire(gone);
        }
        Ok(Next {
            rewritten: self
                .state
                .as_ref()
                .is_none_or(|former| rewritten(former, &state, touched)),
            state,
            map,
            handles,
            diff,
        })
    }

    fn adopt(&mut self, next: Next) -> MapDiff {
        self.handles = next.handles;
        self.state = Some(next.state);
        self.map = Some(Arc::new(next.map));
        next.diff
    }

    fn must_store(&self, next: &Next) -> bool {
        let state = &next.state;
        let moved = match (&self.state, self.stored_head_at) {
            (Some(former), Some(stored_at)) => {
                former.head.epoch != state.head.epoch
                    || former.keyset.version != state.keyset.version
                    || former.roots.len() != state.roots.len()
                    || former.head.stale_policy != state.head.stale_policy
                    || state.head.issued_at >= stored_at + HEAD_INTERVAL
            }
            _ => true,
        };
        moved || next.rewritten || !next.diff.is_empty() || self.problem.is_some()
    }

    /// Appends the step, or writes the whole state.
    fn keep(&mut self, state: &State, step: &[u8], full: bool) -> Result<(), MapError> {
        let Some(membership) = &self.membership else {
            return Ok(());
        };
        let journal = self.journal.take();
        let appended = journal.and_then(|journal| journal.entry(step));
        if let Some(entry) = &appended {
            let written = self.storage.append(entry.offset, &entry.bytes);
            written.map_err(|error| unwritable(&error))?;
        }
        let whole = full || journal.is_none_or(|journal| journal.is_full());
        if let Some(entry) = appended.as_ref().filter(|_| !whole) {
            self.journal = Some(entry.next);
            return Ok(());
        }
        let bytes = codec::encode(membership, Some(state));
        match self.write_whole(&bytes) {
            Ok(()) => {
                // Soon with a map in both slots: were the only one damaged, nothing would be left of it.
                let journal = Journal::of(&bytes);
                self.journal = if self.state.is_some() {
                    journal
                } else {
                    journal.map(Journal::due)
                };
            }
            // The step is kept all the same; the whole state is written with the next one.
            Err(_) if appended.is_some() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn write_whole(&mut self, bytes: &[u8]) -> Result<(), MapError> {
        self.journal = None;
        self.storage.replace(bytes).map_err(|error| unwritable(&error))
    }
}

/// A state that may come, and all that comes with it.
struct Next {
    state: State,
    map: Map,
    handles: Handles,
    diff: MapDiff,
    /// Bytes of a record are other ones, whatever they say: another key may have signed them.
    rewritten: bool,
}

fn rewritten(former: &State, state: &State, touched: &Touched) -> bool {
    let bytes = |held: &Held<Node>| held.bytes.clone();
    let node = |id| former.nodes.get(id).map(bytes) != state.nodes.get(id).map(bytes);
    let bytes = |held: &Held<Rule>| held.bytes.clone();
    let rule = |id| former.rules.get(id).map(bytes) != state.rules.get(id).map(bytes);
    let dns = |state: &State| state.dns.as_ref().map(|held| held.bytes.clone());
    let relay_map = |state: &State| state.relay_map.as_ref().map(|held| held.bytes.clone());
    touched.nodes.iter().any(node)
        || touched.rules.iter().any(rule)
        || dns(former) != dns(state)
        || relay_map(former) != relay_map(state)
}

fn unreadable(error: std::io::Error) -> MapError {
    MapError::new(Reason::Storage, "map", format!("cannot be read: {error}"))
}

fn unwritable(error: &std::io::Error) -> MapError {
    MapError::new(Reason::Storage, "map", format!("cannot be written: {error}"))
}
