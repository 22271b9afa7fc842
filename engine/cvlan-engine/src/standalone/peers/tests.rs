#![allow(clippy::unwrap_used)]

use super::*;
use cvlan_route::NextHop;
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

fn with(peers: Vec<SetPeer>) -> Peers {
    Peers::default().changed(&wanting(peers)).unwrap()
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
    peers = peers.changed(&wanting(vec![gone(A)])).unwrap();
    assert_eq!(leads_to(&peers, "10.0.0.1"), Some(B), "A has nothing to give up");
    peers = peers.changed(&wanting(vec![gone(B)])).unwrap();
    assert_eq!(leads_to(&peers, "10.0.0.1"), None);
}

#[test]
fn what_is_not_mentioned_stays() {
    let mut first = peer(A, &["10.0.0.0/8"]);
    first.persistent_keepalive = Some(25);
    first.endpoint = Some("192.0.2.1:51820".parse().unwrap());
    first.preshared_key = Some(SecretKey::new([7; 32].into()));
    let before = with(vec![first, peer(B, &[])]);
    let after = before.changed(&wanting(vec![peer(A, &["10.1.0.0/16"])])).unwrap();
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
    let after = after.changed(&wanting(vec![cleared])).unwrap();
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
    let after = before.changed(&wanting(vec![removed])).unwrap();
    assert!(after.get(&B).is_none());
    assert_eq!(leads_to(&after, "10.1.0.1"), Some(A));
    let update = SetPeer {
        update_only: true,
        ..peer(B, &["10.2.0.0/16"])
    };
    let same = after.changed(&wanting(vec![update])).unwrap();
    assert_eq!(same.iter().count(), 1);
    assert_eq!(leads_to(&same, "10.2.0.1"), Some(A));
    let replaced = SetDevice {
        replace_peers: true,
        peers: vec![peer(A, &["10.3.0.0/16"])],
        ..SetDevice::default()
    };
    let replaced = before.changed(&replaced).unwrap();
    assert_eq!(replaced.iter().count(), 1);
    assert_eq!(
        replaced.get(&A).unwrap().id,
        before.get(&A).unwrap().id,
        "its sessions would be lost"
    );
    assert_eq!(leads_to(&replaced, "10.0.0.1"), None);
    let again = replaced.changed(&wanting(vec![peer(B, &[])])).unwrap();
    assert!(
        before.iter().all(|peer| peer.id != again.get(&B).unwrap().id),
        "a name is used twice"
    );
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
    let full = Peers::default().changed(&many(1 << 16)).unwrap();
    assert_eq!(full.iter().count(), 1 << 16);
    assert_eq!(
        Peers::default().changed(&many((1 << 16) + 1)).unwrap_err(),
        Refused::TooMany
    );
    assert_eq!(
        full.changed(&wanting(vec![SetPeer::of([0xff; 32])])).unwrap_err(),
        Refused::TooMany
    );
}
