//! The real program with a real TUN interface in two network namespaces. Needs root; says so where it cannot run.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

#[path = "../../dns/tests/common/mod.rs"]
mod message;

#[path = "common/cable.rs"]
mod cable;

use cable::{CEILING, Cable, LISTEN, Node, ip, pair};
use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_testkit::{Tenant, rule};
use entity::{PolicyAction, PolicyProtocol};
use message::{A, query, read, record, reply};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

#[tokio::test]
async fn kernels_of_two_namespaces_answer_each_other_through_real_interfaces() {
    let Some((cable, folder, mut a, mut b)) = pair().await else {
        eprintln!("skipped: making network namespaces needs root");
        return;
    };
    assert!(a.ping(2).await.is_some());
    assert!(b.ping(1).await.is_some());
    assert!(a.status().await.counters["tx_bytes_sealed"] > 0);

    a.kill();
    assert!(
        !ip(&format!("-n {} link show dev cv0", a.namespace)),
        "the interface goes with the process"
    );
    let started = Instant::now();
    let mut a = Node::start(a.namespace.clone(), 1, a.state.parent().unwrap()).await;
    a.configure();
    assert!(a.ping(2).await.is_some());
    assert!(
        started.elapsed() < Duration::from_secs(25),
        "back within five times five seconds"
    );

    let second = Command::new("ip")
        .args([
            "netns",
            "exec",
            &cable.namespace(1),
            env!("CARGO_BIN_EXE_cvlan-engine"),
            "run",
            "--state",
        ])
        .arg(folder.path().join("engine1"))
        .stderr(Stdio::null())
        .status();
    assert!(!second.unwrap().success(), "one engine on one state");
}

#[tokio::test]
async fn an_interface_that_is_there_already_is_not_taken_over() {
    let Some(cable) = Cable::new() else {
        eprintln!("skipped: making network namespaces needs root");
        return;
    };
    let namespace = cable.namespace(1);
    assert!(ip(&format!("-n {namespace} tuntap add mode tun name cv0")));
    let folder = TempDir::new().unwrap();
    let tenant = Tenant::new(1, SystemTime::now());
    let mut a = Node::start(namespace.clone(), 1, folder.path()).await;
    let settings = pb::Settings {
        membership: Some(tenant.membership("node_1")),
        interface_name: "cv0".into(),
        ..pb::Settings::default()
    };
    let request = |interface_name: &str| pb::ApplyRequest {
        generation: 1,
        settings: Some(pb::Settings {
            interface_name: interface_name.into(),
            ..settings.clone()
        }),
        updates: Vec::new(),
    };
    let refused = a.client.apply(request("cv0")).await.unwrap_err();
    assert!(
        refused.message().contains("NO_INTERFACE") && refused.message().contains("cv0"),
        "{refused}"
    );
    assert_eq!(a.status().await.interface_name, "");
    a.client.apply(request("cv1")).await.unwrap();
    a.kill();
    assert!(
        ip(&format!("-n {namespace} link show dev cv0")),
        "what others made stays"
    );
}

#[tokio::test]
async fn a_name_server_on_a_peer_is_asked_through_the_tunnel() {
    let Some(cable) = Cable::new() else {
        eprintln!("skipped: making network namespaces needs root");
        return;
    };
    let folder = TempDir::new().unwrap();
    let tenant = Tenant::new(1, SystemTime::now() - Duration::from_secs(60));
    let mut a = Node::start(cable.namespace(1), 1, folder.path()).await;
    let mut b = Node::start(cable.namespace(2), 2, folder.path()).await;
    let nodes = [a.record().await, b.record().await];
    let hints = vec![a.settle(&tenant).await, b.settle(&tenant).await];
    let allow = rule(1, PolicyAction::Allow, PolicyProtocol::Udp);
    let upstream = ["100.64.0.2:53".parse().unwrap()];
    for node in [&mut a, &mut b] {
        let step = entity::MapUpdate {
            hints: hints.clone(),
            dns: tenant.sign_dns(&cvlan_testkit::dns(1, &[("corp", &upstream)])),
            ..tenant.full(1, &nodes, std::slice::from_ref(&allow))
        };
        let request = pb::ApplyRequest {
            generation: 2,
            settings: None,
            updates: vec![step],
        };
        node.client.apply(request).await.unwrap();
        node.configure();
    }
    let mut server = b.program("program_that_answers_names").spawn().unwrap();
    let asked = a.program("program_that_asks_for_a_name").status().unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(asked.success());
    let counters = a.status().await.counters;
    assert_eq!(counters["dns_answered_upstream"], 1);
    assert!(counters["tx_packets"] >= 1, "it went through the tunnel");
}

#[test]
#[ignore = "a program that a test above runs in a namespace"]
fn program_that_answers_names() {
    let socket = UdpSocket::bind("100.64.0.2:53").unwrap();
    let mut room = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut room).unwrap();
        let answer = reply(&room[..length], 0, &[record(A, 60, &[10, 1, 2, 3])], &[]);
        socket.send_to(&answer, from).unwrap();
    }
}

#[test]
#[ignore = "a program that a test above runs in a namespace"]
fn program_that_asks_for_a_name() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(CEILING)).unwrap();
    let deadline = Instant::now() + CEILING;
    // The name server may not be up yet, which is told as SERVFAIL.
    loop {
        assert!(Instant::now() < deadline, "nobody knows the name");
        socket.send_to(&query(1, "www.corp", A), (LISTEN, 53)).unwrap();
        let mut room = [0; 512];
        let length = socket.recv(&mut room).unwrap();
        let answer = read(&room[..length]);
        if answer.rcode == 0 {
            assert_eq!(answer.answers[0].2, [10, 1, 2, 3]);
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
