//! Paths that are narrower than the interface, with the real program and kernel in two network namespaces. Needs root; says so where it cannot run.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

#[path = "common/cable.rs"]
mod cable;

use cable::{CEILING, ip, pair};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const PORT: u16 = 4001;
const BYTES: usize = 4 << 20;

#[tokio::test]
async fn a_way_that_became_narrow_carries_what_the_kernel_is_told_to_send() {
    let Some((_cable, _folder, mut a, mut b)) = pair().await else {
        eprintln!("skipped: making network namespaces needs root");
        return;
    };
    for node in [&a, &b] {
        let (namespace, number) = (&node.namespace, node.number);
        assert!(ip(&format!("-n {namespace} addr add fd00::{number}/64 dev cv0 nodad")));
        // As if a router on the way had said so: the host knows, the engine not yet.
        assert!(ip(&format!(
            "-n {namespace} route replace 192.0.2.0/24 dev eth0 mtu 1380"
        )));
    }
    let mut receives = b.program("program_that_receives").spawn().unwrap();
    let sends = a.program("program_that_sends").status().unwrap();
    if !sends.success() {
        receives.kill().ok();
    }
    assert!(receives.wait().unwrap().success() && sends.success());
    let counters = a.status().await.counters;
    assert!(counters["tx_dropped_too_big"] > 0, "nothing was told: {counters:?}");
    assert_eq!(counters["tx_dropped_malformed"] + counters["tx_dropped_send"], 0);
    assert_eq!(b.status().await.counters["rx_dropped_malformed"], 0);
}

#[tokio::test]
async fn what_may_be_cut_is_cut_before_it_is_sealed_and_arrives_whole() {
    let Some((_cable, _folder, mut a, b)) = pair().await else {
        eprintln!("skipped: making network namespaces needs root");
        return;
    };
    assert!(ip(&format!(
        "-n {} route replace 192.0.2.0/24 dev eth0 mtu 1380",
        a.namespace
    )));
    // Sockets leave it to routers to cut what they send (ip(7), IP_PMTUDISC_DONT).
    assert!(ip(&format!(
        "netns exec {} sh -c echo${{IFS}}1>/proc/sys/net/ipv4/ip_no_pmtu_disc",
        a.namespace
    )));
    let mut receives = b.program("program_that_receives_datagrams").spawn().unwrap();
    let sends = a.program("program_that_sends_datagrams").status().unwrap();
    if !sends.success() {
        receives.kill().ok();
    }
    assert!(receives.wait().unwrap().success() && sends.success());
    let counters = a.status().await.counters;
    assert!(counters["tx_fragmented"] > 0, "{counters:?}");
    assert_eq!(counters["tx_dropped_too_big"] + counters["tx_dropped_send"], 0);
    let path = a.status().await.peers.remove(0);
    assert_eq!(path.path_mtu, 1380 - 60);
}

const DATAGRAM: usize = 1420 - 28;
const DATAGRAMS: u8 = 20;

#[test]
#[ignore = "a program that a test above runs in a namespace"]
fn program_that_receives_datagrams() {
    let socket = until(|| UdpSocket::bind(("100.64.0.2", PORT)));
    socket.set_read_timeout(Some(CEILING)).unwrap();
    let mut missing: BTreeSet<u8> = (0..DATAGRAMS).collect();
    let mut room = [0; 2048];
    while !missing.is_empty() {
        let (length, from) = socket.recv_from(&mut room).unwrap();
        assert_eq!(length, DATAGRAM);
        assert!(room[..length].iter().all(|byte| *byte == room[0]));
        missing.remove(&room[0]);
        socket.send_to(&room[..1], from).unwrap();
    }
}

#[test]
#[ignore = "a program that a test above runs in a namespace"]
fn program_that_sends_datagrams() {
    let socket = UdpSocket::bind(("100.64.0.1", PORT)).unwrap();
    socket.connect(("100.64.0.2", PORT)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    for number in 0..DATAGRAMS {
        until(|| {
            // Whoever receives may not be there yet: that is told, and no end.
            let _ = socket.send(&[number; DATAGRAM]);
            let mut answer = [0];
            socket.recv(&mut answer)?;
            if answer == [number] {
                Ok(())
            } else {
                Err(std::io::ErrorKind::InvalidData.into())
            }
        });
    }
}

fn addresses() -> [SocketAddr; 2] {
    [format!("100.64.0.2:{PORT}"), format!("[fd00::2]:{PORT}")].map(|text| text.parse().unwrap())
}

fn until<T>(mut attempt: impl FnMut() -> std::io::Result<T>) -> T {
    let deadline = Instant::now() + CEILING;
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "a program that a test above runs in a namespace"]
fn program_that_receives() {
    for address in addresses() {
        let listener = until(|| TcpListener::bind(address));
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(CEILING)).unwrap();
        let mut got = vec![0; BYTES];
        stream.read_exact(&mut got).unwrap();
        assert!(got.iter().enumerate().all(|(at, byte)| *byte == (at / 999) as u8));
        stream.write_all(b"done").unwrap();
    }
}

#[test]
#[ignore = "a program that a test above runs in a namespace"]
fn program_that_sends() {
    for address in addresses() {
        let mut stream = until(|| TcpStream::connect_timeout(&address, CEILING));
        stream.set_read_timeout(Some(CEILING)).unwrap();
        let bytes: Vec<u8> = (0..BYTES).map(|at| (at / 999) as u8).collect();
        stream.write_all(&bytes).unwrap();
        let mut done = [0; 4];
        stream.read_exact(&mut done).unwrap();
    }
}
