//! What is on disk: survives, is verified again, and a damaged file is no end.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use common::*;
use cvlan_map::{FileStorage, Freshness, MapStore, Membership, Reason, StalePolicy};

fn open_in(folder: &tempfile::TempDir) -> MapStore {
    MapStore::open(Box::new(FileStorage::open(folder.path()).unwrap()), OWN_KEY).unwrap()
}

/// Stands at revision 2; the file before has revision 1.
fn with_two_states() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open_in(&folder);
    store
        .set_membership(Membership::try_from(&tenant().membership("node_1")).unwrap())
        .unwrap();
    store
        .apply(&[tenant().full(1, &[own(), peer(2)], &[allow(1)])], now())
        .unwrap();
    let hint = entity::EndpointHint {
        node_id: "node_3".into(),
        endpoints: vec![entity::NodeEndpoint {
            address: "192.0.2.3".into(),
            port: 7,
        }],
    };
    let step = entity::MapUpdate {
        hints: vec![hint],
        ..tenant().delta(1, 2, &[peer(3)], &[])
    };
    store.apply(&[step], now()).unwrap();
    folder
}

#[test]
fn a_restart_without_a_controller_has_the_whole_map() {
    let folder = with_two_states();
    let store = open_in(&folder);
    assert_eq!(store.load_problem(), None);
    assert_eq!(store.membership().unwrap().node_id, "node_1");
    let map = store.map().unwrap();
    assert_eq!((map.head.revision, map.peers.size(), map.rules.size()), (2, 2, 1));
    let third = map.peers.values().find(|peer| peer.node.node_id == "node_3").unwrap();
    assert_eq!(*third.endpoints, ["192.0.2.3:7".parse::<SocketAddr>().unwrap()]);
}

#[test]
fn any_damage_of_the_file_leads_to_the_state_before() {
    let good = with_two_states();
    let bytes = fs::read(good.path().join("map")).unwrap();
    let damages: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.clear(),
        |bytes| bytes.truncate(40),
        |bytes| bytes.push(0),
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
        },
    ];
    for damage in damages {
        let folder = with_two_states();
        let mut garbled = bytes.clone();
        damage(&mut garbled);
        fs::write(folder.path().join("map"), &garbled).unwrap();

        let mut store = open_in(&folder);
        assert_eq!(store.load_problem().unwrap().reason(), Reason::Damaged);
        assert!(store.position(now()).damage.starts_with("DAMAGED: "));
        assert_eq!(store.map().unwrap().head.revision, 1);
        assert_eq!(fs::read(folder.path().join("map.damaged")).unwrap(), garbled);

        // The good state before is not lost to the next write, and a full map ends the trouble.
        store.apply(&[tenant().delta(1, 2, &[peer(3)], &[])], now()).unwrap();
        assert!(store.load_problem().is_some());
        store.apply(&[tenant().full(3, &[own(), peer(2)], &[])], now()).unwrap();
        assert_eq!(store.load_problem(), None);
        assert_eq!(store.position(now()).damage, "");
        let store = open_in(&folder);
        assert_eq!((store.load_problem(), store.map().unwrap().head.revision), (None, 3));
    }
}

#[test]
fn with_both_files_garbled_the_engine_starts_empty_and_says_so() {
    let folder = with_two_states();
    fs::write(folder.path().join("map"), b"garbage").unwrap();
    fs::write(folder.path().join("map.previous"), b"garbage").unwrap();
    let mut store = open_in(&folder);
    assert_eq!(store.load_problem().unwrap().reason(), Reason::Damaged);
    assert!(store.map().is_none() && store.membership().is_none());
    assert!(store.position(now()).damage.starts_with("DAMAGED: "));
    assert_eq!(store.freshness(now()), Freshness::NoMap);
    store
        .set_membership(Membership::try_from(&tenant().membership("node_1")).unwrap())
        .unwrap();
    store.apply(&[tenant().full(4, &[own()], &[])], now()).unwrap();
    assert_eq!(open_in(&folder).map().unwrap().head.revision, 4);
}

#[test]
fn whoever_writes_the_file_adds_nothing_to_the_map() {
    use sha2::{Digest, Sha256};
    let folder = with_two_states();
    let path = folder.path().join("map");
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 32);
    let name = bytes.windows(5).position(|window| window == b"host2").unwrap();
    bytes[name] = b'g';
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    fs::write(&path, bytes).unwrap();
    let store = open_in(&folder);
    assert_eq!(store.load_problem().unwrap().reason(), Reason::BadSignature);
    assert_eq!(store.map().unwrap().head.revision, 1);
}

#[test]
fn a_full_disk_changes_nothing() {
    let memory = Memory::default();
    let mut store = joined(&memory);
    store.apply(&[tenant().full(1, &[own(), peer(2)], &[])], now()).unwrap();
    let (before, disk) = (shape(&store), memory.0.lock().unwrap().current.clone());
    let step = [tenant().delta(1, 2, &[peer(3)], &[])];
    memory.0.lock().unwrap().full = true;
    assert_eq!(store.apply(&step, now()).unwrap_err().reason(), Reason::Storage);
    assert_eq!(
        (shape(&store), memory.0.lock().unwrap().current.clone()),
        (before, disk)
    );
    memory.0.lock().unwrap().full = false;
    assert_eq!(store.apply(&step, now()).unwrap().added.len(), 1);
}

#[test]
fn a_folder_that_takes_no_file_is_a_storage_error() {
    let folder = with_two_states();
    let mut store = open_in(&folder);
    // A folder of that name cannot be opened as the new file, whoever asks.
    fs::create_dir(folder.path().join("map.new")).unwrap();
    let error = store
        .apply(&[tenant().delta(2, 3, &[], &[allow(2)])], now())
        .unwrap_err();
    assert_eq!(error.reason(), Reason::Storage);
    assert_eq!(store.map().unwrap().head.revision, 2);
    fs::remove_dir(folder.path().join("map.new")).unwrap();
    assert_eq!(open_in(&folder).map().unwrap().head.revision, 2);
    store.apply(&[tenant().delta(2, 3, &[], &[allow(2)])], now()).unwrap();
    assert_eq!(open_in(&folder).map().unwrap().rules.size(), 2);
}

#[test]
fn a_map_grows_stale_by_the_newest_head_and_not_by_a_clock_that_went_back() {
    let memory = Memory::default();
    let mut store = joined(&memory);
    let head = entity::MapHead {
        stale_policy: entity::StalePolicy::Stop.into(),
        ..tenant().head(1, 1, 0)
    };
    let full = entity::MapUpdate {
        head: tenant().sign_head(&head),
        ..tenant().full(1, &[own()], &[])
    };
    store.apply(&[full], now()).unwrap();
    assert_eq!(store.freshness(now() + Duration::from_secs(3599)), Freshness::Fresh);
    assert_eq!(
        store.freshness(now() + Duration::from_secs(3600)),
        Freshness::Stale(StalePolicy::Stop)
    );
    assert!(store.position(now() + Duration::from_secs(3600)).stale);

    // Past the validity of the key that signed the head the map still loads; only new heads need a valid key.
    let store = open(&memory);
    assert_eq!(store.map().unwrap().head.revision, 1);
    assert_eq!(
        store.freshness(now() - Duration::from_secs(1_000_000)),
        Freshness::Fresh
    );
}

#[test]
fn heads_alone_are_written_now_and_then() {
    let memory = Memory::default();
    let mut store = joined(&memory);
    store.apply(&[tenant().full(1, &[own()], &[])], now()).unwrap();
    let writes = memory.0.lock().unwrap().writes;
    for age in [30, 60, 299] {
        let tick = entity::MapUpdate {
            head: tenant().sign_head(&tenant().head(1, 1, age)),
            ..tenant().delta(1, 1, &[], &[])
        };
        assert!(
            store
                .apply(&[tick], now() + Duration::from_secs(age))
                .unwrap()
                .is_empty()
        );
    }
    assert_eq!(memory.0.lock().unwrap().writes, writes);
    let tick = entity::MapUpdate {
        head: tenant().sign_head(&tenant().head(1, 1, 301)),
        ..tenant().delta(1, 1, &[], &[])
    };
    store.apply(&[tick], now() + Duration::from_secs(301)).unwrap();
    assert_eq!(memory.0.lock().unwrap().writes, writes + 1);
}

proptest::proptest! {
    /// Somebody garbles the file and repairs its checksum: no panic, and nothing in the map that was not signed.
    #[test]
    fn garbled_content_under_a_good_checksum(
        places in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0u8..=255), 1..4),
    ) {
        use sha2::{Digest, Sha256};
        static GOOD: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let good = GOOD.get_or_init(|| fs::read(with_two_states().path().join("map")).unwrap());
        let mut bytes = good[..good.len() - 32].to_vec();
        for (place, value) in places {
            let at = place.index(bytes.len());
            bytes[at] = value;
        }
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        let memory = Memory::default();
        memory.0.lock().unwrap().current = Some(bytes);
        let store = open(&memory);
        if let Some(map) = store.map() {
            assert_eq!((map.head.epoch, map.head.revision), (1, 2));
            for (_, node) in map.peer_nodes() {
                assert!(["node_1", "node_2", "node_3"].contains(&node.node_id.as_str()));
            }
        }
    }
}
