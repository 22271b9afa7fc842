#![allow(clippy::unwrap_used)]

use super::*;
use cvlan_route::NextHop;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::IpAddr;

const A: PublicKey = [1; 32];
const B: PublicKey = [2; 32];

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
}

fn peer(public_key: PublicKey, allowed_ips: &[&str]) -> SetPeer {
    SetPeer {
        allowed_ips: allowed_ips.iter().map(|text| AllowedIp::Add(prefix(text))).collect(),
        ..SetPeer::of(public_key)
    }
}

fn wanting(peers: Vec<SetPeer>) -> SetDevice {
    SetDevice {
        peers,
        ..SetDevice::default()
    }
}

fn changed(peers: &Peers, wanted: &SetDevice) -> Result<Peers, Refused> {
    let mut next = peers.clone();
    next.change(wanted)?;
    Ok(next)
}

fn with(peers: Vec<SetPeer>) -> Peers {
    changed(&Peers::default(), &wanting(peers)).unwrap()
}

fn leads_to(peers: &Peers, address: &str) -> Option<PublicKey> {
    let address: IpAddr = address.parse().unwrap();
    let Some(NextHop::Peer(route)) = peers.table().lookup(address) else {
        return None;
    };
    peers
        .iter()
        .find(|peer| peer.id.0 == route.carrier.0)
        .map(|peer| peer.public_key)
}

#[test]
fn nested_allowed_ips_lead_to_the_longest() {
    let peers = with(vec![peer(A, &["10.0.0.0/8", "fd00::/8"]), peer(B, &["10.1.0.0/16"])]);
    assert_eq!(leads_to(&peers, "10.1.2.3"), Some(B));
    assert_eq!(leads_to(&peers, "10.2.0.0"), Some(A));
    assert_eq!(leads_to(&peers, "fd00::1"), Some(A));
    assert_eq!(leads_to(&peers, "11.0.0.0"), None);
    let origin = |source: &str, key| {
        let carrier = PeerHandle(peers.get(&key).unwrap().id.0);
        peers.table().origin(source.parse().unwrap(), carrier).is_some()
    };
    assert!(origin("10.1.0.1", B) && origin("10.0.0.1", A));
    assert!(!origin("10.1.0.1", A), "the shorter prefix lets another's address in");
    assert!(!origin("10.0.0.1", B));
}

#[test]
fn an_allowed_ip_belongs_to_whom_it_was_given_last() {
    let mut peers = with(vec![peer(A, &["10.0.0.0/8"]), peer(B, &["10.0.0.0/8"])]);
    assert_eq!(leads_to(&peers, "10.0.0.1"), Some(B));
    assert!(peers.get(&A).unwrap().allowed_ips.is_empty());
    let gone = |public_key| SetPeer {
        allowed_ips: vec![AllowedIp::Remove(prefix("10.0.0.0/8"))],
        ..SetPeer::of(public_key)
    };
    peers = changed(&peers, &wanting(vec![gone(A)])).unwrap();
    assert_eq!(leads_to(&peers, "10.0.0.1"), Some(B), "A has nothing to give up");
    peers = changed(&peers, &wanting(vec![gone(B)])).unwrap();
    assert_eq!(leads_to(&peers, "10.0.0.1"), None);
}

#[test]
fn what_is_not_mentioned_stays() {
    let mut first = peer(A, &["10.0.0.0/8"]);
    first.persistent_keepalive = Some(25);
    first.endpoint = Some("192.0.2.1:51820".parse().unwrap());
    first.preshared_key = Some(SecretKey::new([7; 32].into()));
    let before = with(vec![first, peer(B, &[])]);
    let after = changed(&before, &wanting(vec![peer(A, &["10.1.0.0/16"])])).unwrap();
    let (old, new) = (before.get(&A).unwrap(), after.get(&A).unwrap());
    assert_eq!(new.allowed_ips, [prefix("10.0.0.0/8"), prefix("10.1.0.0/16")].into());
    assert_eq!(
        Peer {
            allowed_ips: old.allowed_ips.clone(),
            ..new.clone()
        },
        *old
    );
    assert_eq!(
        old.allowed_ips,
        [prefix("10.0.0.0/8")].into(),
        "the former peers are untouched"
    );
    let mut cleared = SetPeer::of(A);
    cleared.replace_allowed_ips = true;
    cleared.persistent_keepalive = Some(0);
    cleared.preshared_key = Some(SecretKey::new([0; 32].into()));
    let after = changed(&after, &wanting(vec![cleared])).unwrap();
    let peer = after.get(&A).unwrap();
    assert_eq!((peer.persistent_keepalive, &peer.preshared_key), (None, &None));
    assert_eq!(leads_to(&after, "10.0.0.1"), None);
}

#[test]
fn peers_come_and_go() {
    let before = with(vec![peer(A, &["10.0.0.0/8"]), peer(B, &["10.1.0.0/16"])]);
    let removed = SetPeer {
        remove: true,
        ..SetPeer::of(B)
    };
    let after = changed(&before, &wanting(vec![removed])).unwrap();
    assert!(after.get(&B).is_none());
    assert_eq!(leads_to(&after, "10.1.0.1"), Some(A));
    let update = SetPeer {
        update_only: true,
        ..peer(B, &["10.2.0.0/16"])
    };
    let same = changed(&after, &wanting(vec![update])).unwrap();
    assert_eq!(same.iter().count(), 1);
    assert_eq!(leads_to(&same, "10.2.0.1"), Some(A));
    let replaced = SetDevice {
        replace_peers: true,
        peers: vec![peer(A, &["10.3.0.0/16"])],
        ..SetDevice::default()
    };
    let replaced = changed(&before, &replaced).unwrap();
    assert_eq!(replaced.iter().count(), 1);
    assert_eq!(
        replaced.get(&A).unwrap().id,
        before.get(&A).unwrap().id,
        "its sessions would be lost"
    );
    assert_eq!(leads_to(&replaced, "10.0.0.1"), None);
    let again = changed(&replaced, &wanting(vec![peer(B, &[])])).unwrap();
    assert!(
        before.iter().all(|peer| peer.id != again.get(&B).unwrap().id),
        "a name is used twice"
    );
}

/// Everything that is told of them, and where addresses lead.
fn told(peers: &Peers) -> (BTreeMap<PublicKey, Peer>, BTreeMap<Prefix, PublicKey>) {
    let all = peers.iter().map(|peer| (peer.public_key, peer.clone())).collect();
    (all, peers.owners.iter().map(|(prefix, key)| (*prefix, *key)).collect())
}

fn some_change() -> impl Strategy<Value = SetPeer> {
    let allowed = (any::<bool>(), 0..4u8, 8..13u32).prop_map(|(add, net, length)| {
        let prefix = Prefix::new([10, net << 4, 0, 0].into(), length).unwrap_or(prefix("10.0.0.0/8"));
        if add {
            AllowedIp::Add(prefix)
        } else {
            AllowedIp::Remove(prefix)
        }
    });
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let rest = (proptest::collection::vec(allowed, 0..4), proptest::option::of(0..3u16));
    (0..4u8, flags, rest).prop_map(|(key, flags, (allowed_ips, persistent_keepalive))| SetPeer {
        remove: flags.0 && flags.1,
        update_only: flags.1,
        replace_allowed_ips: flags.2,
        allowed_ips,
        persistent_keepalive,
        ..SetPeer::of([key; 32])
    })
}

proptest! {
    #[test]
    fn a_change_that_is_taken_back_never_was(
        before in proptest::collection::vec(some_change(), 0..12),
        change in proptest::collection::vec(some_change(), 0..6),
        after in proptest::collection::vec(some_change(), 0..6),
        replace_peers in any::<bool>(),
    ) {
        let untouched = with(before);
        let mut peers = untouched.clone();
        let wanted = SetDevice { replace_peers, ..wanting(change) };
        let former = peers.change(&wanted).unwrap();
        for key in (0..4).map(|key| [key; 32]) {
            let now = peers.get(&key).map(|peer| peer.id);
            let was = untouched.get(&key).map(|peer| peer.id);
            prop_assert!(now.is_none() || was.is_none() || now == was, "its sessions would be lost");
            prop_assert!(now.is_some() || was.is_none() || former.id(&key) == was, "it would stay in force");
        }
        peers.restore(former);
        prop_assert_eq!(told(&peers), told(&untouched));
        let leads = |peers: &Peers| (0..64u8).map(|net| leads_to(peers, &format!("10.{}.0.1", net << 2))).collect::<Vec<_>>();
        prop_assert_eq!(leads(&peers), leads(&untouched));
        // And what comes then leads to the same.
        let (mut peers, mut untouched) = (peers, untouched);
        peers.next_id = untouched.next_id;
        peers.change(&wanting(after.clone())).unwrap();
        untouched.change(&wanting(after)).unwrap();
        prop_assert_eq!(told(&peers), told(&untouched));
        prop_assert_eq!(leads(&peers), leads(&untouched));
    }
}

#[test]
fn too_many_are_refused_whole() {
    let many = |count: u32| {
        let key = |n: u32| {
            let mut key = [0; 32];
            key.iter_mut().zip(n.to_le_bytes()).for_each(|(to, from)| *to = from);
            key
        };
        wanting((0..count).map(|n| SetPeer::of(key(n))).collect())
    };
    let full = changed(&Peers::default(), &many(1 << 16)).unwrap();
    assert_eq!(full.iter().count(), 1 << 16);
    assert_eq!(
        changed(&Peers::default(), &many((1 << 16) + 1)).unwrap_err(),
        Refused::TooMany
    );
    assert_eq!(
        changed(&full, &wanting(vec![SetPeer::of([0xff; 32])])).unwrap_err(),
        Refused::TooMany
    );
}
