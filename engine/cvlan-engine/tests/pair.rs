//! Two engines over real UDP on loopback, with hand-fed signed maps.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use common::{Host, pair, udp, wait_until};
use cvlan_testkit::{Tenant, node, rule};
use entity::{PolicyAction, PolicyProtocol};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

fn allow_udp() -> entity::RuleRecord {
    rule(1, PolicyAction::Allow, PolicyProtocol::Udp)
}

#[test]
fn packets_cross_sealed_in_both_directions() {
    let (_tenant, a, b) = pair(&[allow_udp()]);
    let there = udp(1, 2, 4000, 53, b"question");
    a.send(&there);
    assert_eq!(b.receive(), there);
    let back = udp(2, 1, 53, 4000, b"answer");
    b.send(&back);
    assert_eq!(a.receive(), back);
    wait_until("both directions are counted", || {
        (a.counter("tx_packets"), a.counter("rx_packets")) == (1, 1)
    });
    assert!(a.counter("tx_bytes_sealed") > there.len() as u64);
    let status = a.engine.status();
    assert_eq!(status.peers.len(), 1);
    assert_eq!(status.peers[0].endpoint, Some(b.hint().endpoints[0].clone()));
    assert!(status.peers[0].latest_handshake_at.is_some());
    assert_eq!(status.routes.len(), 2, "{:?}", status.routes);
}

#[test]
fn without_a_rule_nothing_reaches_the_wire() {
    let (_tenant, a, b) = pair(&[]);
    a.send(&udp(1, 2, 4000, 53, b"x"));
    wait_until("the drop is counted", || a.counter("tx_dropped_filter") == 1);
    assert_eq!(a.counter("handshakes_initiated"), 0);
    assert!(b.receives_nothing());
    assert_eq!(a.engine.status().peers[0].bytes_sent, 0);
}

#[test]
fn a_rule_that_goes_cuts_the_flows_it_allowed() {
    let (tenant, mut a, mut b) = pair(&[allow_udp()]);
    a.send(&udp(1, 2, 4000, 53, b"1"));
    b.receive();
    let gone = entity::MapUpdate {
        removed_rules: vec![vec![1; 16]],
        ..tenant.delta(1, 2, &[], &[])
    };
    a.apply(None, vec![gone.clone()]).unwrap();
    a.send(&udp(1, 2, 4000, 53, b"2"));
    wait_until("the sender drops", || a.counter("tx_dropped_filter") == 1);
    b.send(&udp(2, 1, 53, 4000, b"3"));
    wait_until("the receiver drops the answer", || a.counter("rx_dropped_filter") == 1);
    b.apply(None, vec![gone]).unwrap();
    b.send(&udp(2, 1, 53, 4000, b"4"));
    wait_until("the other side drops too", || b.counter("tx_dropped_filter") == 1);
    assert!(a.receives_nothing() && b.receives_nothing());
    let back = tenant.delta(
        2,
        3,
        &[],
        &[entity::RuleRecord {
            policy_version: 2,
            ..allow_udp()
        }],
    );
    a.apply(None, vec![back.clone()]).unwrap();
    b.apply(None, vec![back]).unwrap();
    let again = udp(1, 2, 4000, 53, b"5");
    a.send(&again);
    assert_eq!(b.receive(), again);
}

#[test]
fn a_removed_peer_gets_nothing_and_gives_nothing() {
    let (tenant, a, mut b) = pair(&[allow_udp()]);
    a.send(&udp(1, 2, 4000, 53, b"1"));
    b.receive();
    let mut events = b.engine.events().watch();
    let step = entity::MapUpdate {
        removed_nodes: vec!["node_1".into()],
        ..tenant.delta(1, 2, &[], &[])
    };
    b.apply(None, vec![step]).unwrap();
    assert!(std::iter::from_fn(|| events.try_recv().ok()).any(|e| e.name == "peer_removed" && e.node_id == "node_1"));
    let received = a.engine.status().peers[0].bytes_received;
    b.send(&udp(2, 1, 53, 4000, b"2"));
    wait_until("there is no route any more", || b.counter("tx_dropped_no_route") == 1);
    a.send(&udp(1, 2, 4000, 53, b"3"));
    wait_until("the old session is unknown", || {
        b.counter("rx_dropped_unknown_peer") > 0
    });
    assert!(b.receives_nothing());
    assert_eq!(a.engine.status().peers[0].bytes_received, received);
}

#[test]
fn a_spoofed_source_is_dropped_on_both_sides() {
    let (_tenant, a, b) = pair(&[allow_udp()]);
    a.send(&udp(7, 2, 4000, 53, b"x"));
    wait_until("the sender drops", || a.counter("tx_dropped_source") == 1);
    a.send(&udp(1, 9, 4000, 53, b"x"));
    wait_until("nobody has that address", || a.counter("tx_dropped_no_route") == 1);
    a.send(b"\x45garbage");
    wait_until("garbage is dropped", || a.counter("tx_dropped_malformed") == 1);
    assert!(b.receives_nothing());
}

/// A peer can make itself believed at an address inside the overlay, by sending its datagrams through the tunnel. What is
/// sealed for it then comes back out of the interface, and would be sealed again without an end.
#[test]
fn the_tunnel_does_not_carry_itself() {
    let (_tenant, a, b) = pair(&[allow_udp()]);
    let port = |host: &Host| u16::try_from(host.engine.status().listen_port).unwrap();
    a.send(&udp(1, 2, port(&a), port(&b), b"sealed"));
    wait_until("the engine knows its own datagram", || {
        a.counter("tx_dropped_loop") == 1
    });
    assert!(b.receives_nothing());
    a.send(&udp(1, 2, port(&a).wrapping_add(1), port(&b), b"somebody else's"));
    b.receive();
}

/// A peer that is enrolled and keeps to no policy of its own.
struct Hostile {
    wg: cvlan_wg::Wg,
    socket: UdpSocket,
}

impl Hostile {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let epoch = cvlan_wg::Epoch {
            instant: Instant::now(),
            wall: SystemTime::now(),
        };
        Self {
            wg: cvlan_wg::Wg::new(&cvlan_wg::StaticKey::new([9; 32].into()), epoch),
            socket,
        }
    }

    fn aim_at(&self, victim: &Host) {
        let to = SocketAddr::from((
            Ipv4Addr::LOCALHOST,
            u16::try_from(victim.engine.status().listen_port).unwrap(),
        ));
        let public_key = victim.engine.public_keys().unwrap().0;
        let peer = cvlan_wg::PeerConfig {
            candidates: vec![to],
            ..cvlan_wg::PeerConfig::new(cvlan_wg::PeerId(0), public_key)
        };
        assert!(self.wg.set_peers(Instant::now(), vec![peer]).is_empty());
    }

    fn send(&self, packet: &[u8]) {
        let mut burst = cvlan_wg::Burst::with_capacity(2048);
        burst.push(packet.len()).unwrap().copy_from_slice(packet);
        let sealed = self.wg.seal_batch(Instant::now(), cvlan_wg::PeerId(0), &mut burst);
        if let cvlan_wg::Sealed::Sent { to } = sealed {
            for frame in burst.frames() {
                self.socket.send_to(frame, to).unwrap();
            }
        }
    }

    /// Takes part in handshakes; what was queued for a session is sent.
    fn turn(&self) {
        let mut outputs = Vec::new();
        self.wg.poll(Instant::now(), &mut outputs);
        let mut room = [0; 2048];
        if let Ok((length, from)) = self.socket.recv_from(&mut room) {
            self.wg.handshake(Instant::now(), from, &room[..length], &mut outputs);
        }
        for output in outputs {
            match output {
                cvlan_wg::Output::Datagram { to, bytes } => drop(self.socket.send_to(&bytes, to).unwrap()),
                cvlan_wg::Output::Release { packets, .. } => packets.iter().for_each(|packet| self.send(packet)),
                cvlan_wg::Output::Event(_) => {}
            }
        }
    }
}

#[test]
fn a_hostile_sender_raises_a_counter_and_never_the_interface() {
    let tenant = Tenant::new(1, SystemTime::now() - Duration::from_secs(60));
    let mut b = Host::new(2);
    let hostile = Hostile::new();
    let tcp_alone = rule(1, PolicyAction::Allow, PolicyProtocol::Tcp);
    let nodes = [b.record(), node(1, hostile.wg.public_key()), node(3, [0x77; 32])];
    let settings = b.settings(&tenant);
    b.apply(Some(settings), vec![tenant.full(1, &nodes, &[tcp_alone])])
        .unwrap();
    hostile.aim_at(&b);
    for (packet, counter) in [
        (udp(1, 2, 1, 53, b"not allowed"), "rx_dropped_filter"),
        (udp(3, 2, 1, 53, b"another node's address"), "rx_dropped_source"),
        (udp(2, 2, 1, 53, b"the victim's own address"), "rx_dropped_source"),
        (
            udp(1, 3, 1, 53, b"through the victim to another"),
            "rx_dropped_destination",
        ),
        (vec![0x45; 30], "rx_dropped_malformed"),
    ] {
        let before = b.counter(counter);
        hostile.send(&packet);
        wait_until(counter, || {
            hostile.turn();
            b.counter(counter) > before
        });
    }
    assert!(b.receives_nothing());
    assert_eq!(b.counter("rx_packets"), 0);
}

#[test]
fn a_stranger_gets_no_answer() {
    let (_tenant, a, b) = pair(&[allow_udp()]);
    let stranger = Hostile::new();
    stranger.aim_at(&b);
    stranger.send(&udp(1, 2, 1, 53, b"x"));
    wait_until("the stranger is counted", || {
        stranger.turn();
        b.counter("rx_dropped_unknown_peer") > 0
    });
    assert!(stranger.socket.recv(&mut [0; 2048]).is_err());
    a.send(&udp(1, 2, 4000, 53, b"y"));
    b.receive();
}

#[test]
fn bad_declarations_leave_the_former_state_in_force() {
    let (tenant, mut a, b) = pair(&[allow_udp()]);
    let before = a.engine.status();
    let forger = Tenant::new(2, tenant.now);
    let forged = entity::MapUpdate {
        nodes: vec![forger.sign_node(&node(3, [3; 32]))],
        ..tenant.delta(1, 2, &[], &[])
    };
    let gap = tenant.delta(5, 6, &[], &[]);
    let settings = |change: fn(&mut pb::Settings)| {
        let mut settings = a.settings(&tenant);
        change(&mut settings);
        settings
    };
    let attempts = [
        (None, vec![forged.clone()], "BAD_SIGNATURE", "nodes"),
        (None, vec![gap], "GAP", "updates.previous"),
        (Some(settings(|s| s.mtu = 100)), vec![], "BAD_FIELD", "settings.mtu"),
        (
            Some(settings(|s| s.interface_name = "a/b".into())),
            vec![],
            "BAD_FIELD",
            "settings.interface_name",
        ),
        (
            Some(settings(|s| s.listen_port = 70_000)),
            vec![],
            "BAD_FIELD",
            "settings.listen_port",
        ),
        (
            Some(settings(|s| s.membership = None)),
            vec![],
            "BAD_FIELD",
            "settings.membership",
        ),
        (
            Some(forged_membership(&a, &forger)),
            vec![],
            "MEMBERSHIP_CONFLICT",
            "membership",
        ),
        (Some(settings(|s| s.mtu = 1300)), vec![forged], "BAD_SIGNATURE", "nodes"),
    ];
    for (settings, updates, reason, field) in attempts {
        let failure = a.apply(settings, updates).unwrap_err();
        assert_eq!(failure.reason, reason, "{failure}");
        assert!(failure.field.contains(field) || reason == "GAP", "{failure:?}");
        assert!(!failure.remedy.is_empty());
    }
    let taken = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let mut settings = a.settings(&tenant);
    settings.listen_port = taken.local_addr().unwrap().port().into();
    let failure = a.apply(Some(settings), vec![]).unwrap_err();
    assert_eq!(failure.field, "settings.listen_port");
    assert!(failure.remedy.contains("another listen_port"), "{failure:?}");
    let old = a.engine.apply(pb::ApplyRequest::default()).unwrap_err();
    assert_eq!(old.reason, "OLD_GENERATION");
    let after = a.engine.status();
    assert_eq!(
        (before.map, before.peers, before.mtu),
        (after.map, after.peers, after.mtu)
    );
    let packet = udp(1, 2, 4000, 53, b"still");
    a.send(&packet);
    assert_eq!(b.receive(), packet);
    let a = a.restart();
    assert_eq!(a.engine.status().mtu, 1420, "what was refused is not on disk either");
}

fn forged_membership(host: &Host, forger: &Tenant) -> pb::Settings {
    host.settings(forger)
}

#[test]
fn a_first_membership_with_a_bad_map_is_not_kept() {
    let (tenant, forger) = (Tenant::new(1, SystemTime::now()), Tenant::new(2, SystemTime::now()));
    let mut a = Host::new(1);
    let nodes = [a.record()];
    let wrong = a.settings(&tenant);
    let failure = a.apply(Some(wrong), vec![forger.full(1, &nodes, &[])]).unwrap_err();
    assert_eq!(failure.reason, "BAD_SIGNATURE");
    assert_eq!(a.engine.status().membership, None);
    let right = a.settings(&forger);
    a.apply(Some(right), vec![forger.full(1, &nodes, &[])]).unwrap();
}

#[test]
fn an_engine_comes_up_from_its_disk_without_anybody() {
    let (_tenant, a, b) = pair(&[allow_udp()]);
    a.send(&udp(1, 2, 4000, 53, b"1"));
    b.receive();
    let before = a.engine.status();
    let a = a.restart();
    let after = a.engine.status();
    assert_ne!(before.instance_id, after.instance_id);
    assert_eq!(before.listen_port, after.listen_port);
    assert_eq!(
        (before.map, before.addresses, before.routes),
        (after.map, after.addresses, after.routes)
    );
    let packet = udp(1, 2, 4001, 53, b"2");
    a.send(&packet);
    assert_eq!(b.receive(), packet);
    let packet = udp(2, 1, 53, 4001, b"3");
    b.send(&packet);
    assert_eq!(a.receive(), packet);
}

#[test]
fn a_stale_map_does_what_its_head_says() {
    let tenant = Tenant::new(1, SystemTime::now() - Duration::from_secs(60));
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let nodes = [a.record(), b.record()];
    for host in [&mut a, &mut b] {
        let settings = host.settings(&tenant);
        host.apply(Some(settings), Vec::new()).unwrap();
    }
    let hints = vec![a.hint(), b.hint()];
    let step = |revision, stale_policy: entity::StalePolicy, lives: u64| {
        let head = entity::MapHead {
            expires_at: Some((tenant.now + Duration::from_secs(lives)).into()),
            stale_policy: stale_policy.into(),
            ..tenant.head(1, revision, revision)
        };
        let full = tenant.full(revision, &nodes, &[allow_udp()]);
        entity::MapUpdate {
            hints: hints.clone(),
            head: tenant.sign_head(&head),
            ..full
        }
    };
    b.apply(None, vec![step(1, entity::StalePolicy::Keep, 30)]).unwrap();
    a.apply(None, vec![step(1, entity::StalePolicy::NoNewFlows, 3600)])
        .unwrap();
    a.send(&udp(1, 2, 4000, 53, b"1"));
    assert_eq!(
        b.receive(),
        udp(1, 2, 4000, 53, b"1"),
        "kept: the other side's map is stale"
    );
    a.apply(None, vec![step(2, entity::StalePolicy::NoNewFlows, 30)])
        .unwrap();
    assert!(a.engine.status().map.unwrap().stale);
    a.send(&udp(1, 2, 4001, 53, b"new"));
    wait_until("no new flow starts", || a.counter("tx_dropped_stale") == 1);
    a.send(&udp(1, 2, 4000, 53, b"old"));
    assert_eq!(b.receive(), udp(1, 2, 4000, 53, b"old"));
    a.apply(None, vec![step(3, entity::StalePolicy::Stop, 30)]).unwrap();
    a.send(&udp(1, 2, 4000, 53, b"old"));
    wait_until("everything stops", || a.counter("tx_dropped_stale") == 2);
    assert!(b.receives_nothing());
}

/// mullvad/gotatun 0.7.2: a datagram longer than its room ended all reception.
#[test]
fn datagrams_of_any_length_and_content_do_not_stop_reception() {
    let (_tenant, a, b) = pair(&[allow_udp()]);
    let to = SocketAddr::from((
        Ipv4Addr::LOCALHOST,
        u16::try_from(b.engine.status().listen_port).unwrap(),
    ));
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in (0..200).chain([9216, 9217, 20_000, 65_507]) {
        for kind in 0..=5 {
            let mut datagram = vec![0xff; length];
            datagram
                .iter_mut()
                .zip([kind, 0, 0, 0])
                .for_each(|(byte, head)| *byte = head);
            stranger.send_to(&datagram, to).unwrap();
        }
    }
    a.send(&udp(1, 2, 4000, 53, b"still here"));
    assert_eq!(b.receive(), udp(1, 2, 4000, 53, b"still here"));
    assert!(b.counter("rx_dropped_no_wireguard") > 0);
}

#[test]
fn what_did_not_change_is_told_the_same_and_what_did_is_told_anew() {
    let (tenant, mut a, b) = pair(&[allow_udp()]);
    a.send(&udp(1, 2, 4000, 53, b"1"));
    b.receive();
    wait_until("the handshake is known", || {
        a.engine.status().peers[0].latest_handshake_at.is_some()
    });
    let handshakes = (0..50).map(|_| a.engine.status().peers[0].latest_handshake_at);
    let told: std::collections::BTreeSet<_> = handshakes.map(|at| at.map(|at| (at.seconds, at.nanos))).collect();
    assert!(told.len() <= 2, "{told:?}");
    a.apply(None, vec![tenant.delta(1, 2, &[], &[])]).unwrap();
    let packet = pb::Packet {
        source: vec![100, 64, 0, 1],
        destination: vec![100, 64, 0, 2],
        protocol: 17,
        source_port: 4000,
        destination_port: 53,
    };
    let request = pb::ExplainRequest {
        packet: Some(packet),
        direction: pb::Direction::Outbound.into(),
    };
    let hops = a.engine.explain(&request).unwrap().hops;
    assert!(hops[0].detail.contains("revision 2"), "{}", hops[0].detail);
}

#[test]
fn the_status_says_what_rules_decided() {
    let allow = rule(1, PolicyAction::Allow, PolicyProtocol::Any);
    let deny = entity::RuleRecord {
        ports: vec![entity::PortRange { first: 53, last: 0 }],
        ..rule(2, PolicyAction::Deny, PolicyProtocol::Udp)
    };
    let (_, a, b) = pair(&[allow, deny]);
    assert!(a.engine.status().rules.is_empty());
    a.send(&udp(1, 2, 4000, 5000, b"one"));
    assert!(b.receive().ends_with(b"one"));
    b.send(&udp(2, 1, 5000, 4000, b"an answer"));
    assert!(a.receive().ends_with(b"an answer"));
    a.send(&udp(1, 2, 4000, 53, b"denied"));
    wait_until("the denied packet is counted", || a.counter("tx_dropped_filter") == 1);
    let told: Vec<_> = a
        .engine
        .status()
        .rules
        .into_iter()
        .map(|rule| (rule.name, rule.packets, rule.bytes))
        .collect();
    // What waited for the session was judged when it came and when it went.
    let (first, second) = (&told[0], &told[1]);
    assert_eq!((first.0.as_str(), second), ("rule1", &("rule2".to_owned(), 1, 34)));
    assert!((2..=3).contains(&first.1) && first.2 >= 31 + 37, "{first:?}");
}
