//! Engines without an interface of the host: what leads into the overlay, and what the policy says of it.

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
use common::{CEILING, Host, udp, wait_until};
use cvlan_testkit::{Tenant, rule};
use entity::{PolicyAction, PolicyProtocol};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, SystemTime};

const ALLOWED: u16 = 80;
const DENIED: u16 = 81;

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn end(host: &str, port: u16) -> Option<pb::PortForwardEnd> {
    Some(pb::PortForwardEnd {
        host: host.into(),
        port: port.into(),
    })
}

fn forward(from: bool, is_udp: bool, listen: (&str, u16), target: (&str, u16)) -> pb::PortForward {
    use pb::ForwardDirection::{FromOverlay, IntoOverlay};
    use pb::ForwardProtocol::{Tcp, Udp};
    pb::PortForward {
        direction: if from { FromOverlay } else { IntoOverlay }.into(),
        protocol: if is_udp { Udp } else { Tcp }.into(),
        listen: end(listen.0, listen.1),
        target: end(target.0, target.1),
    }
}

fn port_rule(protocol: PolicyProtocol, port: u16) -> entity::RuleRecord {
    entity::RuleRecord {
        ports: vec![entity::PortRange {
            first: port.into(),
            last: port.into(),
        }],
        ..rule(
            if protocol == PolicyProtocol::Tcp { 1 } else { 2 },
            PolicyAction::Allow,
            protocol,
        )
    }
}

/// Two userspace nodes: the first has a proxy, the second offers an echo on two TCP ports and one UDP port.
struct Pair {
    tenant: Tenant,
    a: Host,
    b: Host,
    proxy: SocketAddr,
}

fn serve_echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            std::thread::spawn(move || {
                let mut from = client.try_clone().unwrap();
                // It ends with either side.
                let _ = std::io::copy(&mut from, &mut client);
                let _ = client.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    port
}

fn serve_udp_echo() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut room = [0; 9000];
        while let Ok((length, from)) = socket.recv_from(&mut room) {
            socket.send_to(&room[..length], from).unwrap();
        }
    });
    port
}

fn pair(more: Vec<pb::PortForward>) -> Pair {
    let tenant = Tenant::new(1, SystemTime::now() - Duration::from_secs(60));
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let nodes = [a.record(), b.record()];
    let (tcp, udp) = (serve_echo(), serve_udp_echo());
    let proxy = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let of_a = pb::Settings {
        interface_kind: pb::InterfaceKind::Userspace.into(),
        proxy_listen: Some(entity::NodeEndpoint {
            address: proxy.ip().to_string(),
            port: proxy.port().into(),
        }),
        forwards: more,
        ..a.settings(&tenant)
    };
    let of_b = pb::Settings {
        interface_kind: pb::InterfaceKind::Userspace.into(),
        forwards: vec![
            forward(true, false, ("", ALLOWED), ("127.0.0.1", tcp)),
            forward(true, false, ("", DENIED), ("127.0.0.1", tcp)),
            forward(true, true, ("", 53), ("127.0.0.1", udp)),
        ],
        ..b.settings(&tenant)
    };
    a.apply(Some(of_a), Vec::new()).unwrap();
    b.apply(Some(of_b), Vec::new()).unwrap();
    let rules = [
        port_rule(PolicyProtocol::Tcp, ALLOWED),
        port_rule(PolicyProtocol::Udp, 53),
    ];
    let hints = vec![a.hint(), b.hint()];
    for host in [&mut a, &mut b] {
        let step = entity::MapUpdate {
            hints: hints.clone(),
            ..tenant.full(1, &nodes, &rules)
        };
        host.apply(None, vec![step]).unwrap();
    }
    Pair { tenant, a, b, proxy }
}

/// A SOCKS request; the code of its reply and the connection.
fn socks(proxy: SocketAddr, command: u8, address: &[u8], port: u16) -> (u8, TcpStream, SocketAddr) {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(CEILING)).unwrap();
    stream.write_all(&[5, 1, 0]).unwrap();
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).unwrap();
    assert_eq!(chosen, [5, 0]);
    let request = [&[5, command, 0], address, &port.to_be_bytes()].concat();
    stream.write_all(&request).unwrap();
    let mut reply = [0; 10];
    stream.read_exact(&mut reply).unwrap();
    let [5, code, 0, 1, a, b, c, d, high, low] = reply else {
        panic!("{reply:?}")
    };
    (
        code,
        stream,
        SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low]))),
    )
}

const B4: &[u8] = &[1, 100, 64, 0, 2];
const HOST2: &[u8] = b"\x03\x05host2";

fn echoes(stream: &mut TcpStream, bytes: &[u8]) {
    let mut writer = stream.try_clone().unwrap();
    let sent = bytes.to_vec();
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    writing.join().unwrap();
    assert!(got == bytes, "{} of {} bytes came back", got.len(), bytes.len());
}

#[test]
fn tcp_goes_through_the_proxy_and_back() {
    let Pair { a, b, proxy, .. } = pair(Vec::new());
    let status = a.engine.status();
    assert_eq!(status.interface_kind(), pb::InterfaceKind::Userspace);
    assert_eq!(status.interface_name, "");
    let big: Vec<u8> = (0..3_000_000u32).map(|n| (n / 7) as u8).collect();
    for address in [
        B4,
        HOST2,
        b"\x03\x0a100.64.0.2",
        b"\x04\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02",
    ] {
        let (code, mut stream, _) = {
            // A reply carries the family of the own address.
            if address[0] == 4 {
                let mut stream = TcpStream::connect(proxy).unwrap();
                stream
                    .write_all(&[&[5, 1, 0, 5, 1, 0], address, &ALLOWED.to_be_bytes()].concat())
                    .unwrap();
                let mut reply = [0; 24];
                stream.read_exact(&mut reply).unwrap();
                assert_eq!(reply[5], 4);
                (reply[3], stream, proxy)
            } else {
                socks(proxy, 1, address, ALLOWED)
            }
        };
        assert_eq!(code, 0, "{address:?}");
        echoes(&mut stream, &big);
    }
    assert_eq!(a.counter("proxy_connections"), 4);
    assert_eq!(b.counter("forward_connections"), 4);
}

#[test]
fn what_may_not_be_is_refused_by_its_code() {
    let Pair { a, proxy, .. } = pair(Vec::new());
    for (address, port, code, counter) in [
        (B4, DENIED, 2, "proxy_refused_policy"),
        (&[1, 100, 64, 0, 9][..], ALLOWED, 3, "proxy_refused_destination"),
        (&[1, 127, 0, 0, 1], ALLOWED, 3, "proxy_refused_destination"),
        (&[1, 100, 64, 0, 1], ALLOWED, 4, "proxy_refused_destination"),
        (b"\x03\x06nobody", ALLOWED, 4, "proxy_refused_destination"),
        (b"\x03\x0bexample.org", ALLOWED, 4, "proxy_refused_destination"),
    ] {
        let before = a.counter(counter);
        assert_eq!(socks(proxy, 1, address, port).0, code, "{address:?}");
        assert_eq!(a.counter(counter), before + 1, "{address:?}");
    }
    assert_eq!(a.counter("tx_packets"), 0, "nothing of it reached the wire");
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.write_all(b"\x04\x01\0\x50\x64\x40\0\x02\0").unwrap();
    assert!(!matches!(stream.read(&mut [0; 8]), Ok(1..)), "SOCKS 4 is no SOCKS 5");
    wait_until("it is counted", || a.counter("proxy_refused_malformed") == 1);
}

#[test]
fn a_rule_that_goes_cuts_a_live_connection() {
    let Pair {
        tenant,
        mut a,
        mut b,
        proxy,
    } = pair(Vec::new());
    let (code, mut stream, _) = socks(proxy, 1, HOST2, ALLOWED);
    assert_eq!(code, 0);
    stream.write_all(b"alive").unwrap();
    let mut room = [0; 5];
    stream.read_exact(&mut room).unwrap();
    let gone = entity::MapUpdate {
        removed_rules: vec![vec![1; 16]],
        ..tenant.delta(1, 2, &[], &[])
    };
    a.apply(None, vec![gone.clone()]).unwrap();
    let cut = stream.read(&mut room);
    assert!(
        matches!(cut, Ok(0)) || matches!(&cut, Err(error) if error.kind() == ErrorKind::ConnectionReset),
        "{cut:?}"
    );
    assert_eq!(socks(proxy, 1, HOST2, ALLOWED).0, 2);
    b.apply(None, vec![gone]).unwrap();
}

#[test]
fn datagrams_go_through_an_association() {
    let Pair { a, b: _b, proxy, .. } = pair(Vec::new());
    let (code, control, relay) = socks(proxy, 3, &[1, 0, 0, 0, 0], 0);
    assert_eq!(code, 0);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(CEILING)).unwrap();
    let mut room = [0; 2048];
    for (address, payload) in [(B4, &b"one"[..]), (HOST2, b"two")] {
        client
            .send_to(&[&[0, 0, 0], address, &[0, 53], payload].concat(), relay)
            .unwrap();
        let (length, from) = client.recv_from(&mut room).unwrap();
        assert_eq!(from, relay);
        assert_eq!(&room[..length], [&[0, 0, 0], B4, &[0, 53], payload].concat());
    }
    for (datagram, counter) in [
        ([&[0, 0, 0], B4, &[0, 54], b"x"].concat(), "proxy_refused_policy"),
        (
            [&[0, 0, 0], &[1, 8, 8, 8, 8][..], &[0, 53], b"x"].concat(),
            "proxy_refused_destination",
        ),
        ([&[0, 0, 1], B4, &[0, 53], b"x"].concat(), "proxy_refused_malformed"),
    ] {
        let before = a.counter(counter);
        client.send_to(&datagram, relay).unwrap();
        wait_until(counter, || a.counter(counter) == before + 1);
    }
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let before = a.counter("proxy_refused_malformed");
    other
        .send_to(&[&[0, 0, 0], B4, &[0, 53], b"x"].concat(), relay)
        .unwrap();
    wait_until("a stranger is not served", || {
        a.counter("proxy_refused_malformed") == before + 1
    });
    drop(control);
    wait_until("the association ends with its connection", || {
        UdpSocket::bind(relay).is_ok()
    });
}

#[test]
fn forwards_lead_in_and_out() {
    let (tcp, datagrams) = (free_port(), free_port());
    let Pair { a, b, .. } = pair(vec![
        forward(false, false, ("127.0.0.1", tcp), ("host2", ALLOWED)),
        forward(false, true, ("127.0.0.1", datagrams), ("100.64.0.2", 53)),
    ]);
    echoes(
        &mut TcpStream::connect(("127.0.0.1", tcp)).unwrap(),
        b"through two forwards",
    );
    let clients = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    for (number, client) in clients.iter().enumerate() {
        client.set_read_timeout(Some(CEILING)).unwrap();
        client
            .send_to(format!("client {number}").as_bytes(), ("127.0.0.1", datagrams))
            .unwrap();
    }
    for (number, client) in clients.iter().enumerate() {
        let mut room = [0; 64];
        let length = client.recv(&mut room).unwrap();
        assert_eq!(&room[..length], format!("client {number}").as_bytes());
    }
    assert_eq!(
        (a.counter("forward_connections"), b.counter("forward_connections")),
        (4, 4)
    );
}

#[test]
fn http_goes_through_the_proxy() {
    let Pair {
        a: _a, b: _b, proxy, ..
    } = pair(Vec::new());
    let ask = |text: &str| {
        let mut stream = TcpStream::connect(proxy).unwrap();
        stream.set_read_timeout(Some(CEILING)).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let mut tunnel = ask("CONNECT host2:80 HTTP/1.1\r\nHost: host2:80\r\n\r\n");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tunnel.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    echoes(&mut tunnel, b"through a tunnel");
    for (request, status) in [
        ("CONNECT host2:81 HTTP/1.1\r\nHost: x\r\n\r\n", "403"),
        ("CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", "502"),
        ("CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: x\r\n\r\n", "403"),
        ("CONNECT host2 HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: host2\r\n\r\n", "400"),
        ("GET https://host2/ HTTP/1.1\r\nHost: host2\r\n\r\n", "400"),
        ("GARBAGE\r\n\r\n", "400"),
        // The echo answers with the request itself, which is no response.
        ("GET http://host2/ HTTP/1.1\r\nHost: host2\r\n\r\n", "502"),
    ] {
        let mut answer = [0; 12];
        ask(request).read_exact(&mut answer).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&answer),
            format!("HTTP/1.1 {status}"),
            "{request}"
        );
    }
}

#[test]
fn a_node_with_a_tun_reaches_it_and_is_judged() {
    let tenant = Tenant::new(1, SystemTime::now() - Duration::from_secs(60));
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let nodes = [a.record(), b.record()];
    let settings = a.settings(&tenant);
    a.apply(Some(settings), Vec::new()).unwrap();
    let settings = pb::Settings {
        interface_kind: pb::InterfaceKind::Userspace.into(),
        forwards: vec![forward(true, true, ("", 53), ("127.0.0.1", serve_udp_echo()))],
        ..b.settings(&tenant)
    };
    b.apply(Some(settings), Vec::new()).unwrap();
    let hints = vec![a.hint(), b.hint()];
    for host in [&mut a, &mut b] {
        let step = entity::MapUpdate {
            hints: hints.clone(),
            ..tenant.full(1, &nodes, &[port_rule(PolicyProtocol::Udp, 53)])
        };
        host.apply(None, vec![step]).unwrap();
    }
    a.send(&udp(1, 2, 4000, 53, b"question"));
    let answer = a.receive();
    assert!(answer.ends_with(b"question"));
    assert_eq!(
        cvlan_wire::packet::parse(&answer).unwrap().source,
        Ipv4Addr::new(100, 64, 0, 2)
    );
    a.send(&udp(1, 2, 4000, 54, b"denied"));
    wait_until("it is dropped", || a.counter("tx_dropped_filter") == 1);
    assert!(a.receives_nothing());
}

#[test]
fn settings_that_cannot_be_are_refused_and_the_former_stay() {
    let Pair {
        tenant,
        mut a,
        proxy,
        b: _b,
    } = pair(Vec::new());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let settings = |change: &dyn Fn(&mut pb::Settings)| {
        let mut settings = pb::Settings {
            interface_kind: pb::InterfaceKind::Userspace.into(),
            ..a.settings(&tenant)
        };
        change(&mut settings);
        settings
    };
    let at = |address: &str, port: u16| {
        Some(entity::NodeEndpoint {
            address: address.into(),
            port: port.into(),
        })
    };
    let cases = [
        (
            settings(&|s| s.proxy_listen = at("0.0.0.0", 1080)),
            "settings.proxy_listen",
        ),
        (
            settings(&|s| s.proxy_listen = at("nowhere", 1080)),
            "settings.proxy_listen",
        ),
        (
            settings(&|s| s.proxy_listen = at("127.0.0.1", 0)),
            "settings.proxy_listen",
        ),
        (
            settings(&|s| s.proxy_listen = at("127.0.0.1", port)),
            "settings.proxy_listen",
        ),
        (
            settings(&|s| {
                s.proxy_listen = at("127.0.0.1", 1080);
                s.set_interface_kind(pb::InterfaceKind::Tun);
            }),
            "settings.proxy_listen",
        ),
        (
            settings(&|s| s.forwards = vec![forward(false, false, ("192.0.2.1", 80), ("host2", 80))]),
            "settings.forwards[0].listen",
        ),
        (
            settings(&|s| s.forwards = vec![forward(true, false, ("127.0.0.1", 80), ("127.0.0.1", 80))]),
            "settings.forwards[0].listen.host",
        ),
        (
            settings(&|s| s.forwards = vec![forward(true, false, ("", 80), ("localhost", 80))]),
            "settings.forwards[0].target.host",
        ),
        (
            settings(&|s| s.forwards = vec![forward(false, true, ("127.0.0.1", 80), ("", 80))]),
            "settings.forwards[0].target.host",
        ),
        (
            settings(&|s| {
                s.forwards = vec![
                    forward(true, false, ("", 80), ("127.0.0.1", 80)),
                    forward(true, false, ("", 80), ("127.0.0.1", 81)),
                ];
            }),
            "settings.forwards[1].listen",
        ),
    ];
    for (settings, field) in cases {
        let failure = a.apply(Some(settings), Vec::new()).unwrap_err();
        assert_eq!(failure.field, field, "{failure}");
        assert!(!failure.remedy.is_empty());
    }
    assert_eq!(socks(proxy, 1, HOST2, ALLOWED).0, 0, "the former proxy still serves");
    drop(taken);
    let other = pb::Settings {
        interface_kind: pb::InterfaceKind::Userspace.into(),
        proxy_listen: at("127.0.0.1", port),
        ..a.settings(&tenant)
    };
    a.apply(Some(other), Vec::new()).unwrap();
    wait_until("the former proxy is gone", || TcpStream::connect(proxy).is_err());
    let moved = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    assert_eq!(socks(moved, 1, HOST2, ALLOWED).0, 0);
    let a = a.restart();
    assert_eq!(a.engine.status().interface_kind(), pb::InterfaceKind::Userspace);
    assert_eq!(socks(moved, 1, HOST2, ALLOWED).0, 0, "it comes up from disk");
}

#[test]
fn auto_takes_what_the_host_gives() {
    let tenant = Tenant::new(1, SystemTime::now());
    let mut a = Host::new(1);
    let auto = pb::Settings {
        interface_kind: pb::InterfaceKind::Auto.into(),
        ..a.settings(&tenant)
    };
    a.apply(Some(auto), Vec::new()).unwrap();
    assert_eq!(a.engine.status().interface_kind(), pb::InterfaceKind::Tun);
    let mut b = Host::without_tun(2);
    let auto = |b: &Host, kind: pb::InterfaceKind| pb::Settings {
        interface_kind: kind.into(),
        ..b.settings(&tenant)
    };
    let settings = auto(&b, pb::InterfaceKind::Tun);
    assert_eq!(b.apply(Some(settings), Vec::new()).unwrap_err().reason, "NO_INTERFACE");
    let settings = auto(&b, pb::InterfaceKind::Auto);
    b.apply(Some(settings), Vec::new()).unwrap();
    assert_eq!(b.engine.status().interface_kind(), pb::InterfaceKind::Userspace);
}
