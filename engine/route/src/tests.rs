use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
}

fn peer(number: u32) -> NextHop {
    NextHop::Peer(PeerRoute {
        node: PeerHandle(number),
        carrier: PeerHandle(number),
    })
}

fn hop_of(number: u32, prefixes: &[Prefix]) -> (PeerHandle, Arc<Node>) {
    let node = Node {
        addresses: Vec::new(),
        routes: prefixes.to_vec(),
        ..node(&format!("node_{number}"), "100.64.0.9", &[], None)
    };
    (PeerHandle(number), Arc::new(node))
}

fn table(entries: &[(&str, u32)]) -> Table {
    let mut behind: BTreeMap<u32, Vec<Prefix>> = BTreeMap::new();
    for (text, number) in entries {
        behind.entry(*number).or_default().push(prefix(text));
    }
    Table::compile(None, behind.iter().map(|(number, routes)| hop_of(*number, routes)))
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn nested_prefixes_do_not_leak_to_the_outer_peer() {
    let table = table(&[("10.0.0.0/8", 1), ("10.1.0.0/16", 2), ("10.1.2.3/32", 1)]);
    assert_eq!(table.origin(address("10.1.0.1"), PeerHandle(1)), None);
    assert_eq!(table.origin(address("10.1.0.1"), PeerHandle(2)), Some(PeerHandle(2)));
    assert_eq!(table.origin(address("10.1.2.3"), PeerHandle(1)), Some(PeerHandle(1)));
    assert_eq!(table.origin(address("10.2.0.1"), PeerHandle(1)), Some(PeerHandle(1)));
    assert_eq!(table.origin(address("11.0.0.1"), PeerHandle(1)), None);
}

#[test]
fn of_two_equal_prefixes_the_own_the_address_and_the_smaller_handle_count() {
    let mut table = table(&[("10.0.0.0/8", 2), ("10.0.0.0/8", 7), ("100.64.0.3/32", 2)]);
    assert_eq!(table.lookup(address("10.0.0.1")), Some(peer(2)));
    table.put(PeerHandle(9), Arc::new(node("third", "100.64.0.3", &[], None)));
    assert_eq!(table.lookup(address("100.64.0.3")), Some(peer(9)));
    table.set_own(Some(Arc::new(node("own", "100.64.0.1", &["10.0.0.0/8"], None))));
    assert!(table.is_local(address("10.0.0.1")));
    table.set_own(None);
    table.remove(PeerHandle(2));
    assert_eq!(table.lookup(address("10.0.0.1")), Some(peer(7)));
    table.remove(PeerHandle(7));
    table.remove(PeerHandle(9));
    assert_eq!(table, Table::default());
}

#[test]
fn families_are_apart_and_reach_their_ends() {
    let table = table(&[
        ("0.0.0.0/0", 1),
        ("ff00::/8", 2),
        ("::/0", 3),
        ("255.255.255.255/32", 4),
    ]);
    assert_eq!(table.lookup(address("255.255.255.254")), Some(peer(1)));
    assert_eq!(table.lookup(address("255.255.255.255")), Some(peer(4)));
    assert_eq!(
        table.lookup(address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")),
        Some(peer(2))
    );
    assert_eq!(table.lookup(address("::")), Some(peer(3)));
    assert_eq!(Table::default().lookup(address("::")), None);
}

fn node(id: &str, address: &str, routes: &[&str], via: Option<&str>) -> Node {
    Node {
        node_id: id.into(),
        record_revision: 1,
        name: id.into(),
        kind: cvlan_wire::NodeKind::Agent,
        wireguard_public_key: [1; 32],
        addresses: vec![address.parse().unwrap()],
        selectors: BTreeSet::new(),
        routes: routes.iter().map(|text| prefix(text)).collect(),
        via: via.map(str::to_owned),
        capability_version: 1,
    }
}

#[test]
fn a_map_compiles_to_owners_and_carriers() {
    let own = node("own", "100.64.0.1", &["192.168.1.0/24"], None);
    let router = node("router", "100.64.0.2", &["10.0.0.0/8"], None);
    let behind = node("behind", "100.64.0.3", &[], Some("router"));
    let lost = node("lost", "100.64.0.4", &[], Some("unknown"));
    let thief = node(
        "thief",
        "100.64.0.5",
        &["100.64.0.1/32", "100.64.0.2/32", "192.168.1.0/24"],
        None,
    );
    let peers = [&router, &behind, &lost, &thief];
    let table = Table::compile(
        Some(Arc::new(own.clone())),
        peers
            .iter()
            .enumerate()
            .map(|(i, node)| (PeerHandle(i as u32), Arc::new((*node).clone()))),
    );

    assert!(table.is_local(address("100.64.0.1")));
    assert!(table.is_local(address("192.168.1.9")));
    assert_eq!(table.origin(address("100.64.0.2"), PeerHandle(0)), Some(PeerHandle(0)));
    assert_eq!(table.origin(address("100.64.0.2"), PeerHandle(3)), None);
    assert_eq!(table.origin(address("100.64.0.3"), PeerHandle(0)), Some(PeerHandle(1)));
    assert_eq!(table.origin(address("100.64.0.3"), PeerHandle(1)), None);
    assert_eq!(table.lookup(address("100.64.0.4")), None);
    assert_eq!(table.origin(address("10.9.9.9"), PeerHandle(0)), Some(PeerHandle(0)));

    let routes = interface_routes(Some(&own), peers.into_iter());
    assert!(routes.contains(&prefix("10.0.0.0/8")));
    assert!(!routes.contains(&prefix("100.64.0.1/32")));
    assert!(!routes.contains(&prefix("192.168.1.0/24")));
}

#[test]
fn a_network_behind_a_peer_keeps_its_route() {
    let peers = [
        node("a", "100.64.0.4", &["10.0.0.0/25", "10.0.0.128/25"], None),
        node("b", "100.64.0.5", &["100.64.0.4/30"], None),
    ];
    let routes = interface_routes(None, peers.iter());
    let expected = ["10.0.0.0/25", "10.0.0.128/25", "100.64.0.4/30", "100.64.0.4/31"];
    assert_eq!(routes, expected.map(prefix));
}

proptest! {
    /// Routes hold the addresses of the peers and no other, and no two of them could be one.
    #[test]
    fn routes_hold_each_peer_and_nobody_else(
        hosts in proptest::collection::btree_set(0u32..80, 0..80),
        own in 0u32..80,
        high in any::<bool>(),
    ) {
        let base = if high { 0xffff_ffb0 } else { 0x6440_0000 };
        let text = |host: u32| Ipv4Addr::from_bits(base + host).to_string();
        let peers: Vec<Node> = hosts.iter().map(|host| node(&host.to_string(), &text(*host), &[], None)).collect();
        let itself = node("own", &text(own), &[], None);
        let routes = interface_routes(Some(&itself), peers.iter());
        for host in 0..80 {
            let holders = routes.iter().filter(|route| route.contains(address(&text(host)))).count();
            prop_assert_eq!(holders, usize::from(hosts.contains(&host) && host != own));
        }
        let size: u64 = routes.iter().map(|route| 1u64 << (32 - route.length())).sum();
        prop_assert_eq!(size, hosts.iter().filter(|host| **host != own).count() as u64);
        for pair in routes.windows(2) {
            prop_assert_eq!(pair[0].joined(pair[1]), None);
        }
    }

    /// A slow scan over all prefixes is the reference.
    #[test]
    fn lookup_is_longest_prefix_match(
        entries in proptest::collection::vec((0u32..256, 24u32..=32), 0..40),
        wide in any::<bool>(),
        probes in proptest::collection::vec(0u32..300, 1..40),
    ) {
        let mut entries: Vec<(Prefix, u32)> = (0..)
            .zip(entries)
            .map(|(index, (bits, length))| {
                let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
                let network = Ipv4Addr::from_bits((0x0a00_0000 | bits) & mask);
                (Prefix::new(IpAddr::V4(network), length).unwrap(), index)
            })
            .collect();
        if wide {
            entries.push((prefix("0.0.0.0/0"), 1000));
        }
        let table = Table::compile(None, entries.iter().map(|(prefix, number)| hop_of(*number, &[*prefix])));
        for probe in probes {
            let probe = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + probe));
            let mut best: Option<(Prefix, u32)> = None;
            for (prefix, number) in &entries {
                if prefix.contains(probe) && best.is_none_or(|(best, _)| prefix.length() > best.length()) {
                    best = Some((*prefix, *number));
                }
            }
            prop_assert_eq!(table.lookup(probe), best.map(|(_, number)| peer(number)));
        }
    }

    /// Peers that come, change and go leave what a table made of them at once is, and no trace of what was.
    #[test]
    fn changed_peer_by_peer_a_table_is_the_one_made_whole(
        changes in proptest::collection::vec((0u32..6, proptest::option::of((0u8..6, 0u8..4, 0u8..8))), 0..40),
    ) {
        let record = |number: u32, (address, route, via): (u8, u8, u8)| {
            let routes = [&[][..], &["10.0.0.0/8"], &["10.1.0.0/16", "10.1.0.0/16"], &["100.64.0.1/32"]];
            let via = (via < 6).then(|| format!("node_{via}"));
            Arc::new(node(&format!("node_{number}"), &format!("100.64.0.{address}"), routes[usize::from(route)], via.as_deref()))
        };
        let mut table = Table::default();
        let mut peers = BTreeMap::new();
        for (number, change) in changes {
            match change {
                Some(record_of) => {
                    let node = record(number, record_of);
                    table.put(PeerHandle(number), node.clone());
                    peers.insert(PeerHandle(number), node);
                }
                None => {
                    table.remove(PeerHandle(number));
                    peers.remove(&PeerHandle(number));
                }
            }
            let whole = Table::compile(None, peers.iter().map(|(peer, node)| (*peer, node.clone())));
            for text in ["100.64.0.0", "100.64.0.1", "100.64.0.2", "100.64.0.3", "100.64.0.5", "10.0.0.1", "10.1.0.1"] {
                prop_assert_eq!(table.lookup(address(text)), whole.lookup(address(text)), "{}", text);
            }
        }
        for peer in peers.keys() {
            table.remove(*peer);
        }
        prop_assert_eq!(table, Table::default());
    }
}
