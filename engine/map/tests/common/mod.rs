//! What the tests of the map share.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_map::{MapStore, Membership, Slot, Storage};
use cvlan_testkit::Tenant;

pub const OWN_KEY: [u8; 32] = [1; 32];

pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

pub fn tenant() -> Tenant {
    Tenant::new(1, now())
}

/// Both slots in memory, shared so that a test can look, garble and fill the disk.
#[derive(Clone, Default)]
pub struct Memory(pub Arc<Mutex<Slots>>);

#[derive(Default)]
pub struct Slots {
    pub current: Option<Vec<u8>>,
    pub previous: Option<Vec<u8>>,
    pub journal: Option<Vec<u8>>,
    pub previous_journal: Option<Vec<u8>>,
    pub full: bool,
    pub writes: usize,
}

impl Storage for Memory {
    fn read(&self, slot: Slot) -> io::Result<Option<Vec<u8>>> {
        let slots = self.0.lock().unwrap();
        Ok(match slot {
            Slot::Current => slots.current.clone(),
            Slot::Previous => slots.previous.clone(),
        })
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut slots = self.0.lock().unwrap();
        if slots.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        slots.writes += 1;
        if let Some(current) = slots.current.replace(bytes.to_vec()) {
            slots.previous = Some(current);
            slots.previous_journal = slots.journal.take();
        }
        Ok(())
    }

    fn journal(&self, slot: Slot) -> io::Result<Option<Vec<u8>>> {
        let slots = self.0.lock().unwrap();
        Ok(match slot {
            Slot::Current => slots.journal.clone(),
            Slot::Previous => slots.previous_journal.clone(),
        })
    }

    fn append(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut slots = self.0.lock().unwrap();
        if slots.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        slots.writes += 1;
        let journal = slots.journal.get_or_insert_default();
        journal.truncate(usize::try_from(offset).unwrap());
        journal.extend_from_slice(bytes);
        Ok(())
    }

    fn set_aside(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().current = None;
        Ok(())
    }
}

pub fn open(memory: &Memory) -> MapStore {
    MapStore::open(Box::new(memory.clone()), OWN_KEY).unwrap()
}

pub fn joined(memory: &Memory) -> MapStore {
    let mut store = open(memory);
    store
        .set_membership(Membership::try_from(&tenant().membership("node_1")).unwrap())
        .unwrap();
    store
}

pub fn own() -> entity::NodeRecord {
    cvlan_testkit::node(1, OWN_KEY)
}

pub fn peer(number: u8) -> entity::NodeRecord {
    cvlan_testkit::node(number, [number; 32])
}

pub fn allow(number: u8) -> entity::RuleRecord {
    cvlan_testkit::rule(number, entity::PolicyAction::Allow, entity::PolicyProtocol::Any)
}

/// Epoch, revision, nodes with their revisions, rules with their versions.
pub type Shape = (u64, u64, Vec<(String, u64)>, Vec<(u8, u64)>);

/// What a map says, as far as these tests look.
pub fn shape(store: &MapStore) -> Option<Shape> {
    let map = store.map()?;
    let mut nodes: Vec<_> = map
        .peer_nodes()
        .map(|(_, node)| (node.node_id.clone(), node.record_revision))
        .collect();
    nodes.extend(map.own.iter().map(|node| (node.node_id.clone(), node.record_revision)));
    nodes.sort();
    let rules = map
        .rules
        .values()
        .map(|rule| (rule.id[0], rule.policy_version))
        .collect();
    Some((map.head.epoch, map.head.revision, nodes, rules))
}
