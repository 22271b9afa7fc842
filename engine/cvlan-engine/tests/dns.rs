//! Names over real sockets: from the map, by upstreams, after a restart, and under fire.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;
#[path = "../../dns/tests/common/mod.rs"]
mod message;

use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use common::{CEILING, Host, wait_until};
use cvlan_testkit::{Tenant, node};
use message::{A, AAAA, PTR, Read, query, read, record, reply};
use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, SystemTime};

/// A loopback address with a port that is free for both transports.
fn free() -> SocketAddr {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = udp.local_addr().unwrap();
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(CEILING)).unwrap();
    socket
}

fn ask(server: SocketAddr, message: &[u8]) -> Read {
    let socket = socket();
    socket.send_to(message, server).unwrap();
    let mut room = [0; 4096];
    let (length, from) = socket.recv_from(&mut room).expect("no answer came");
    assert_eq!(from, server);
    read(&room[..length])
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

fn read_framed(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut bytes = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn settings(host: &Host, tenant: &Tenant, listen: SocketAddr, fallback: &[SocketAddr]) -> pb::Settings {
    pb::Settings {
        dns_listen: Some(entity::NodeEndpoint {
            address: listen.ip().to_string(),
            port: listen.port().into(),
        }),
        dns_fallback: fallback
            .iter()
            .map(|upstream| entity::DnsUpstream {
                address: upstream.ip().to_string(),
                port: upstream.port().into(),
            })
            .collect(),
        ..host.settings(tenant)
    }
}

/// A host with a peer `host2` that answers names.
fn answering(routes: &[(&str, &[SocketAddr])], fallback: &[SocketAddr]) -> (Tenant, Host, SocketAddr) {
    let tenant = Tenant::new(1, SystemTime::now() - Duration::from_secs(60));
    let mut host = Host::new(1);
    let listen = free();
    let full = entity::MapUpdate {
        dns: tenant.sign_dns(&cvlan_testkit::dns(1, routes)),
        ..tenant.full(1, &[host.record(), node(2, [2; 32])], &[])
    };
    let settings = settings(&host, &tenant, listen, fallback);
    host.apply(Some(settings), vec![full]).unwrap();
    (tenant, host, listen)
}

#[test]
fn names_come_from_the_map_and_survive_a_restart_alone() {
    let (tenant, mut host, listen) = answering(&[], &[]);
    let peer = |kind| query(1, "Host2.main.cvlan.internal", kind);
    assert_eq!(ask(listen, &peer(A)).answers[0].2, [100, 64, 0, 2]);
    let status = host.engine.status().dns.unwrap();
    assert_eq!(status.domain, "main.cvlan.internal");
    assert_eq!(status.reverse_zones.len(), 65);
    assert_eq!(status.listen.unwrap().port, u32::from(listen.port()));

    let step = tenant.delta(1, 2, &[node(3, [3; 32])], &[]);
    host.apply(None, vec![step]).unwrap();
    let host = host.restart();
    assert_eq!(ask(listen, &peer(AAAA)).answers.len(), 1);
    assert_eq!(ask(listen, &query(1, "host3.main.cvlan.internal", A)).answers.len(), 1);
    assert_eq!(ask(listen, &query(1, "3.0.64.100.in-addr.arpa", PTR)).answers.len(), 1);
    assert_eq!(ask(listen, &query(1, "host4.main.cvlan.internal", A)).rcode, 3);
    assert_eq!(ask(listen, &query(1, "example.org", A)).rcode, 5);
    assert_eq!((host.counter("dns_answered_zone"), host.counter("dns_refused")), (4, 1));

    let mut stream = TcpStream::connect(listen).unwrap();
    let two = [framed(&peer(A)), framed(&query(2, "host1.main.cvlan.internal", A))].concat();
    stream.write_all(&two).unwrap();
    assert_eq!(read(&read_framed(&mut stream)).id, 1);
    assert_eq!(read(&read_framed(&mut stream)).id, 2);
    host.engine.shut_down();
    TcpListener::bind(listen).expect("the port is free again");
}

#[test]
fn what_the_map_no_longer_has_is_denied() {
    let (tenant, mut host, listen) = answering(&[], &[]);
    let gone = entity::MapUpdate {
        removed_nodes: vec!["node_2".into()],
        ..tenant.delta(1, 2, &[], &[])
    };
    host.apply(None, vec![gone]).unwrap();
    // The socket hears of it a moment after the declaration was answered.
    let asked = query(1, "host2.main.cvlan.internal", A);
    wait_until("the name is gone", || ask(listen, &asked).rcode == 3);
    let no_names = tenant.full(3, &[host.record()], &[]);
    host.apply(None, vec![no_names]).unwrap();
    assert_eq!(host.engine.status().dns, None);
    UdpSocket::bind(listen).expect("without a record nothing is answered");
}

#[test]
fn a_route_asks_its_upstream_over_udp_and_then_tcp() {
    let address = free();
    let (udp, tcp) = (UdpSocket::bind(address).unwrap(), TcpListener::bind(address).unwrap());
    udp.set_read_timeout(Some(CEILING)).unwrap();
    let silent = free();
    let _held = UdpSocket::bind(silent).unwrap();
    let (_tenant, host, listen) = answering(&[("corp", &[silent, address])], &[address]);
    let upstream = std::thread::spawn(move || {
        let mut room = [0; 4096];
        let mut ports = Vec::new();
        for round in 0..3 {
            let (length, from) = udp.recv_from(&mut room).unwrap();
            ports.push(from.port());
            let asked = &room[..length];
            let mut forged = reply(asked, 0, &[record(A, 60, &[6, 6, 6, 6])], &[]);
            forged[0] ^= 0xff;
            udp.send_to(&forged, from).unwrap();
            let other = socket();
            other
                .send_to(&reply(asked, 0, &[record(A, 60, &[6, 6, 6, 6])], &[]), from)
                .unwrap();
            let flags = if round == 2 { 0x200 } else { 0 };
            udp.send_to(&reply(asked, flags, &[record(A, 60, &[10, 0, 0, round])], &[]), from)
                .unwrap();
        }
        let (mut stream, _) = tcp.accept().unwrap();
        let asked = read_framed(&mut stream);
        stream
            .write_all(&framed(&reply(&asked, 0, &[record(A, 60, &[10, 0, 0, 9])], &[])))
            .unwrap();
        ports
    });
    assert_eq!(ask(listen, &query(7, "www.corp", A)).answers[0].2, [10, 0, 0, 0]);
    assert_eq!(ask(listen, &query(7, "www.corp", A)).answers[0].2, [10, 0, 0, 0]);
    assert_eq!(ask(listen, &query(7, "example.org", A)).answers[0].2, [10, 0, 0, 1]);
    assert_eq!(ask(listen, &query(7, "big.corp", A)).answers[0].2, [10, 0, 0, 9]);
    let ports = upstream.join().unwrap();
    assert!(
        ports[0] != ports[1] && ports[1] != ports[2],
        "each question has a port of its own"
    );
    assert_eq!(host.counter("dns_answered_cache"), 1);
    assert_eq!(
        host.counter("dns_upstream_failures"),
        1,
        "the silent one is asked last afterwards"
    );
    assert!(host.counter("dns_upstream_mismatched") >= 3);
}

#[test]
fn a_port_that_is_taken_is_told_and_taken_again_when_it_is_free() {
    let tenant = Tenant::new(1, SystemTime::now() - Duration::from_secs(60));
    let mut host = Host::new(1);
    let listen = free();
    let holder = TcpListener::bind(listen).unwrap();
    let full = entity::MapUpdate {
        dns: tenant.sign_dns(&cvlan_testkit::dns(1, &[])),
        ..tenant.full(1, &[host.record()], &[])
    };
    let wanted = settings(&host, &tenant, listen, &[]);
    host.apply(Some(wanted), vec![full]).unwrap();
    let status = host.engine.status().dns.unwrap();
    assert_eq!(status.listen, None);
    assert!(
        status.error.contains("end the program that listens there"),
        "{}",
        status.error
    );
    assert!(host.engine.status().mtu > 0, "everything else is in force");
    drop(holder);
    wait_until("the port is had", || {
        host.engine.tick();
        host.engine.status().dns.unwrap().error.is_empty()
    });
    assert_eq!(ask(listen, &query(1, "host1.main.cvlan.internal", A)).answers.len(), 1);
}

#[test]
fn only_loopback_is_listened_on() {
    let tenant = Tenant::new(1, SystemTime::now());
    let mut host = Host::new(1);
    for bad in ["0.0.0.0:53", "192.0.2.1:53", "127.0.0.1:0"] {
        let wanted = settings(&host, &tenant, bad.parse().unwrap(), &[]);
        let refusal = host.apply(Some(wanted), Vec::new()).unwrap_err();
        assert_eq!(
            (refusal.reason, refusal.field.as_str()),
            ("BAD_FIELD", "settings.dns_listen")
        );
    }
    let wanted = settings(&host, &tenant, free(), &["0.0.0.0:53".parse().unwrap()]);
    assert_eq!(
        host.apply(Some(wanted), Vec::new()).unwrap_err().field,
        "settings.dns_fallback"
    );
}

#[test]
fn floods_and_garbage_cost_nobody_the_names() {
    let silent = free();
    let _held = UdpSocket::bind(silent).unwrap();
    let (_tenant, host, listen) = answering(&[], &[silent]);
    let flood = socket();
    let mut idle: Vec<TcpStream> = Vec::new();
    for number in 0..40_000_u32 {
        flood
            .send_to(&query(1, &format!("n{number}.example"), A), listen)
            .unwrap();
        flood.send_to(&number.to_be_bytes(), listen).unwrap();
        if number % 500 == 0 {
            idle.push(TcpStream::connect(listen).unwrap());
        }
    }
    wait_until("the flood has passed", || {
        let socket = socket();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        socket
            .send_to(&query(1, "host2.main.cvlan.internal", A), listen)
            .unwrap();
        socket.recv(&mut [0; 512]).is_ok()
    });
    assert!(host.counter("dns_dropped_queue") > 0);
    assert!(host.counter("dns_malformed") > 0);
    let mut stream = TcpStream::connect(listen).unwrap();
    stream
        .write_all(&framed(&query(9, "host2.main.cvlan.internal", A)))
        .unwrap();
    assert_eq!(
        read(&read_framed(&mut stream)).answers.len(),
        1,
        "idle connections give way"
    );
    let pending = host.counter("dns_upstream_queries") - host.counter("dns_dropped_queue");
    assert!(pending <= 256 + host.counter("dns_upstream_failures"));
}
