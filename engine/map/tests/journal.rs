//! Steps that are kept beside the state: whole or not at all, in their order, and only behind the state they belong to.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use common::*;
use cvlan_map::{FileStorage, MapStore, Membership, Reason};
use ed25519_dalek::SigningKey;
use proptest::prelude::*;

fn open_in(folder: &Path) -> MapStore {
    MapStore::open(Box::new(FileStorage::open(folder).unwrap()), OWN_KEY).unwrap()
}

/// A full map large enough for a journal: with these nodes, and some that have much to say.
fn large(revision: u64, nodes: &[entity::NodeRecord], rules: &[entity::RuleRecord]) -> entity::MapUpdate {
    let verbose = (100..120).map(|number| entity::NodeRecord {
        selectors: (0..200).map(|id| [number, id].repeat(8)).collect(),
        ..peer(number)
    });
    let nodes: Vec<_> = nodes.iter().cloned().chain(verbose).collect();
    tenant().full(revision, &nodes, rules)
}

/// What a map says, and where its peers are.
type Known = (Option<Shape>, Vec<(String, Vec<SocketAddr>)>);

fn known(store: &MapStore) -> Known {
    let peers = store.map().into_iter().flat_map(|map| {
        let peers = map.peers.values();
        peers
            .map(|peer| (peer.node.node_id.clone(), peer.endpoints.to_vec()))
            .collect::<Vec<_>>()
    });
    let mut peers: Vec<_> = peers.collect();
    peers.sort();
    (shape(store), peers)
}

fn hint(number: u8, port: u32) -> entity::EndpointHint {
    entity::EndpointHint {
        node_id: format!("node_{number}"),
        endpoints: vec![entity::NodeEndpoint {
            address: "192.0.2.3".into(),
            port,
        }],
    }
}

fn renamed(number: u8, revision: u64) -> entity::NodeRecord {
    entity::NodeRecord {
        record_revision: revision,
        name: format!("name{revision}"),
        ..peer(number)
    }
}

/// Steps of every kind that go into a journal, from revision 2 on; some move nothing but the head.
fn steps() -> Vec<entity::MapUpdate> {
    let step =
        |to: u64, nodes: &[entity::NodeRecord], rules: &[entity::RuleRecord]| tenant().delta(to - 1, to, nodes, rules);
    vec![
        step(3, &[peer(4)], &[]),
        step(4, &[], &[]),
        step(5, &[renamed(2, 2)], &[allow(2)]),
        entity::MapUpdate {
            hints: vec![hint(3, 7), hint(4, 8)],
            ..step(6, &[], &[])
        },
        entity::MapUpdate {
            removed_nodes: vec!["node_4".into()],
            removed_rules: vec![vec![1; 16]],
            dns: tenant().sign_dns(&cvlan_testkit::dns(1, &[])),
            ..step(7, &[], &[])
        },
        step(8, &[], &[]),
        step(9, &[renamed(3, 4)], &[]),
    ]
}

fn joined_in(folder: &Path) -> MapStore {
    let mut store = open_in(folder);
    store
        .set_membership(Membership::try_from(&tenant().membership("node_1")).unwrap())
        .unwrap();
    store.apply(&[large(1, &[own(), peer(2)], &[allow(1)])], now()).unwrap();
    // The first change after a first map writes the whole state again, so that both slots have one.
    store.apply(&[tenant().delta(1, 2, &[peer(3)], &[])], now()).unwrap();
    assert!(!folder.join("map.journal").exists());
    store
}

/// A folder with a journal of all the steps; for each length of the journal, what was known when it had that length.
fn with_journal() -> (tempfile::TempDir, Vec<(usize, Known)>) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = joined_in(folder.path());
    let mut history = vec![(0, known(&store))];
    let whole = fs::read(folder.path().join("map")).unwrap();
    for step in steps() {
        store.apply(&[step], now()).unwrap();
        let length = fs::read(folder.path().join("map.journal")).unwrap().len();
        if history.last().unwrap().0 != length {
            history.push((length, known(&store)));
        }
    }
    assert_eq!(history.len(), 6, "two of the steps move nothing but the head");
    assert_eq!(fs::read(folder.path().join("map")).unwrap(), whole);
    (folder, history)
}

#[test]
fn a_journal_cut_at_any_byte_is_what_was_kept_before() {
    let (good, history) = with_journal();
    let journal = fs::read(good.path().join("map.journal")).unwrap();
    for cut in 0..=journal.len() {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(good.path().join("map"), folder.path().join("map")).unwrap();
        fs::write(folder.path().join("map.journal"), &journal[..cut]).unwrap();
        let store = open_in(folder.path());
        let (_, expected) = history.iter().rfind(|(length, _)| *length <= cut).unwrap();
        assert_eq!(known(&store), *expected, "cut at {cut}");
        assert_eq!(store.load_problem(), None, "cut at {cut}");
    }
}

#[test]
fn after_a_cut_the_store_goes_on_from_there() {
    let (good, history) = with_journal();
    let journal = fs::read(good.path().join("map.journal")).unwrap();
    let (length, _) = history[2];
    fs::write(good.path().join("map.journal"), &journal[..length + 7]).unwrap();
    let mut store = open_in(good.path());
    let revision = store.map().unwrap().head.revision;
    for to in revision + 1..revision + 4 {
        let step = tenant().delta(to - 1, to, &[renamed(2, to + 20)], &[]);
        store.apply(&[step], now()).unwrap();
        assert_eq!(known(&open_in(good.path())), known(&store));
    }
}

#[test]
fn damage_inside_a_journal_ends_it_there_and_is_told() {
    let (good, history) = with_journal();
    let journal = fs::read(good.path().join("map.journal")).unwrap();
    for ((from, before), (to, _)) in history.iter().zip(&history[1..]) {
        // Past the mark and the length of the record, which a cut may look like.
        let inside = from + (to - from) * 2 / 3;
        let mut garbled = journal.clone();
        garbled[inside] ^= 4;
        fs::write(good.path().join("map.journal"), &garbled).unwrap();
        let mut store = open_in(good.path());
        assert_eq!(store.load_problem().unwrap().reason(), Reason::Damaged);
        assert_eq!(known(&store), *before);

        let folder = tempfile::tempdir().unwrap();
        for name in ["map", "map.journal"] {
            fs::copy(good.path().join(name), folder.path().join(name)).unwrap();
        }
        store = open_in(folder.path());
        store.apply(&[large(20, &[own(), renamed(2, 30)], &[])], now()).unwrap();
        assert_eq!(store.load_problem(), None);
        assert_eq!(open_in(folder.path()).load_problem(), None);
    }
}

#[test]
fn steps_swapped_left_out_or_repeated_do_not_count() {
    let (good, history) = with_journal();
    let journal = fs::read(good.path().join("map.journal")).unwrap();
    let part = |index: usize| &journal[history[index].0..history[index + 1].0];
    let header = &journal[..40];
    let first = &part(0)[40..];
    let forgeries = [
        [header, part(1), first].concat(),
        [header, first, part(2)].concat(),
        [header, first, first].concat(),
    ];
    for (forgery, expected) in forgeries.iter().zip([0, 1, 1]) {
        fs::write(good.path().join("map.journal"), forgery).unwrap();
        let store = open_in(good.path());
        assert_eq!(store.load_problem().unwrap().reason(), Reason::Damaged);
        assert_eq!(known(&store), history[expected].1);
    }
}

#[test]
fn a_journal_of_another_state_is_none_of_this() {
    let (good, _) = with_journal();
    let other = tempfile::tempdir().unwrap();
    let mut store = joined_in(other.path());
    store.apply(&[large(30, &[own(), peer(7)], &[])], now()).unwrap();
    let stands = known(&store);
    fs::copy(good.path().join("map.journal"), other.path().join("map.journal")).unwrap();
    let store = open_in(other.path());
    assert_eq!((known(&store), store.load_problem()), (stands, None));
}

#[test]
fn the_machine_may_stop_anywhere_while_the_whole_state_is_written() {
    let (good, history) = with_journal();
    let expected = &history.last().unwrap().1;
    let stages: [fn(&Path); 5] = [
        |at| fs::write(at.join("map.new"), b"half").unwrap(),
        |at| {
            fs::remove_file(at.join("map.previous")).unwrap();
            fs::hard_link(at.join("map"), at.join("map.link")).unwrap();
        },
        |at| fs::rename(at.join("map.link"), at.join("map.previous")).unwrap(),
        |at| fs::rename(at.join("map.journal"), at.join("map.previous.journal")).unwrap(),
        // What a disk made of it that kept the second rename and not the first.
        |at| fs::write(at.join("map.journal"), b"CVLJNL1\n and something else").unwrap(),
    ];
    for stage in stages {
        stage(good.path());
        let store = open_in(good.path());
        assert_eq!((known(&store), store.load_problem()), (expected.clone(), None));
    }
}

/// The step that makes the whole state be written is in the journal before it, so that the two states are one chain.
#[test]
fn with_the_state_damaged_nothing_is_lost() {
    let (good, history) = with_journal();
    assert!(good.path().join("map.previous.journal").exists());
    fs::write(good.path().join("map"), b"garbage").unwrap();
    let mut store = open_in(good.path());
    assert_eq!(store.load_problem().unwrap().reason(), Reason::Damaged);
    assert_eq!(known(&store), history.last().unwrap().1);
    store.apply(&[tenant().delta(9, 10, &[peer(9)], &[])], now()).unwrap();
    let stands = known(&store);
    assert_eq!(
        (known(&open_in(good.path())), stands.0.as_ref().unwrap().1),
        (stands.clone(), 10)
    );
    // And with the state after that one damaged too, what is left is the one before.
    fs::write(good.path().join("map"), b"garbage").unwrap();
    assert_eq!(known(&open_in(good.path())).0.unwrap().1, 9);
}

#[test]
fn a_small_map_is_written_whole_each_time() {
    let memory = Memory::default();
    let mut store = joined(&memory);
    store.apply(&[tenant().full(1, &[own(), peer(2)], &[])], now()).unwrap();
    for to in 2..6 {
        store
            .apply(&[tenant().delta(to - 1, to, &[renamed(2, to)], &[])], now())
            .unwrap();
        let slots = memory.0.lock().unwrap();
        assert_eq!(
            (slots.journal.is_none(), slots.previous_journal.is_none()),
            (true, true)
        );
    }
}

#[test]
fn whoever_writes_the_journal_adds_nothing_to_the_map() {
    use sha2::{Digest, Sha256};
    let (good, history) = with_journal();
    let mut journal = fs::read(good.path().join("map.journal")).unwrap();
    journal.truncate(history[1].0);
    let name = journal.windows(5).position(|window| window == b"host4").unwrap();
    journal[name] = b'g';
    let (base, record) = (journal[8..40].to_vec(), journal[40..journal.len() - 32].to_vec());
    let digest = Sha256::digest([base, record].concat());
    let end = journal.len() - 32;
    journal[end..].copy_from_slice(&digest);
    fs::write(good.path().join("map.journal"), journal).unwrap();
    let store = open_in(good.path());
    assert_eq!(store.load_problem().unwrap().reason(), Reason::BadSignature);
    assert_eq!(known(&store), history[0].1);
}

#[test]
fn a_step_that_the_disk_does_not_take_is_not_in_the_journal() {
    let memory = Memory::default();
    let mut store = joined(&memory);
    store.apply(&[large(1, &[own(), peer(2)], &[])], now()).unwrap();
    store.apply(&[tenant().delta(1, 2, &[peer(3)], &[])], now()).unwrap();
    store.apply(&[tenant().delta(2, 3, &[peer(4)], &[])], now()).unwrap();
    let before = memory.0.lock().unwrap().journal.clone();
    assert!(before.is_some());
    memory.0.lock().unwrap().full = true;
    let step = [tenant().delta(3, 4, &[peer(5)], &[])];
    assert_eq!(store.apply(&step, now()).unwrap_err().reason(), Reason::Storage);
    assert_eq!(
        (store.map().unwrap().head.revision, store.map().unwrap().peers.size()),
        (3, 23)
    );
    memory.0.lock().unwrap().full = false;
    store.apply(&step, now()).unwrap();
    // What became of the journal is not known: the whole state was written.
    assert_eq!(memory.0.lock().unwrap().journal, None);
    assert_eq!(known(&open(&memory)), known(&store));
}

#[test]
fn a_journal_is_bounded() {
    let memory = Memory::default();
    let mut store = joined(&memory);
    store.apply(&[large(1, &[own(), peer(2)], &[])], now()).unwrap();
    let mut longest = 0;
    let mut begun = 0;
    for to in 2..300 {
        let step = entity::MapUpdate {
            hints: vec![hint(2, u32::try_from(to).unwrap())],
            ..tenant().delta(to - 1, to, &[renamed(2, to), renamed(3, to)], &[])
        };
        store.apply(&[step], now()).unwrap();
        let slots = memory.0.lock().unwrap();
        begun += usize::from(slots.journal.is_none());
        longest = longest.max(slots.journal.as_ref().map_or(0, Vec::len));
    }
    let whole = memory.0.lock().unwrap().current.as_ref().unwrap().len();
    assert!(
        longest > 64 * 1024 && longest <= whole + 4096,
        "{longest} beside {whole}"
    );
    assert!((2..10).contains(&begun), "{begun}");
    assert_eq!(known(&open(&memory)), known(&store));
}

/// Who signs a record is no part of what it says; a restart after the first key went must not lose what the second signed.
#[test]
fn a_record_signed_anew_by_another_key_is_kept() {
    let memory = Memory::default();
    let mut store = joined(&memory);
    let tenant = tenant();
    store.apply(&[large(1, &[own(), peer(2)], &[])], now()).unwrap();
    store.apply(&[tenant.delta(1, 2, &[peer(3)], &[])], now()).unwrap();
    let second = SigningKey::from_bytes(&[77; 32]);
    let mut both = tenant.keyset(2);
    let mut delegated = both.keys[0].clone();
    delegated.key_id = "enrol2".into();
    delegated.public_key = second.verifying_key().to_bytes().to_vec();
    both.keys.push(delegated);
    let mut alone = both.clone();
    alone.version = 3;
    alone.keys.remove(0);
    let steps = [
        entity::MapUpdate {
            keyset: tenant.sign_keyset(&both),
            ..tenant.delta(2, 3, &[], &[])
        },
        entity::MapUpdate {
            nodes: [own(), peer(2), peer(3)]
                .iter()
                .map(|node| cvlan_testkit::sign("node", "enrol2", &second, node))
                .collect(),
            ..tenant.delta(3, 4, &[], &[])
        },
        entity::MapUpdate {
            keyset: tenant.sign_keyset(&alone),
            ..tenant.delta(4, 5, &[], &[])
        },
    ];
    for step in steps {
        store.apply(&[step], now()).unwrap();
        assert_eq!(known(&open(&memory)), known(&store));
    }
    assert!(memory.0.lock().unwrap().journal.is_some());
    assert_eq!(store.map().unwrap().peers.size(), 2);
}

#[derive(Clone, Debug)]
enum Change {
    Put(u8),
    Remove(u8),
    Rule(u8),
    Hint(u8, u16),
    Head(u16),
    Full,
    Restart,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (2u8..8).prop_map(Change::Put),
        2 => (2u8..8).prop_map(Change::Remove),
        2 => (1u8..4).prop_map(Change::Rule),
        2 => (2u8..8, 1u16..9).prop_map(|(node, port)| Change::Hint(node, port)),
        3 => (0u16..100).prop_map(Change::Head),
        1 => Just(Change::Full),
        1 => Just(Change::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever came, what a restart finds is what was known before it, but for heads that moved nothing.
    #[test]
    fn a_restart_at_any_moment_finds_what_was_known(changes in proptest::collection::vec(change(), 1..40)) {
        let memory = Memory::default();
        let mut store = joined(&memory);
        store.apply(&[large(1, &[own(), peer(2)], &[allow(1)])], now()).unwrap();
        let (mut revision, mut age) = (1, 0);
        for change in changes {
            let to = revision + 1;
            if let Change::Head(more) = change {
                age += u64::from(more);
            }
            let step = |nodes: &[entity::NodeRecord], rules: &[entity::RuleRecord]| tenant().delta(revision, to, nodes, rules);
            let step = match change {
                Change::Put(number) => step(&[renamed(number, to)], &[]),
                Change::Remove(number) => entity::MapUpdate {
                    removed_nodes: vec![format!("node_{number}")],
                    ..step(&[], &[])
                },
                Change::Rule(number) => step(&[], &[entity::RuleRecord { policy_version: to, ..allow(number) }]),
                Change::Hint(number, port) => entity::MapUpdate {
                    hints: vec![hint(number, port.into())],
                    ..step(&[], &[])
                },
                Change::Head(_) => step(&[], &[]),
                Change::Full => large(to, &[own(), renamed(2, to), renamed(5, to)], &[]),
                Change::Restart => {
                    let before = known(&store);
                    store = open(&memory);
                    let (found, before) = (known(&store), before);
                    prop_assert_eq!(&found.1, &before.1);
                    let (found, before) = (found.0.unwrap(), before.0.unwrap());
                    prop_assert_eq!((found.2, found.3), (before.2, before.3));
                    revision = found.1;
                    continue;
                }
            };
            let step = entity::MapUpdate {
                head: tenant().sign_head(&tenant().head(1, to, to + age)),
                ..step
            };
            store.apply(&[step], now() + Duration::from_secs(to + age)).unwrap();
            revision = to;
        }
        let reopened = open(&memory);
        prop_assert_eq!(reopened.load_problem(), None);
        prop_assert_eq!(known(&reopened).1, known(&store).1);
    }
}
