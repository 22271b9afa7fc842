//! Super-packets of the real kernel, split on one side and coalesced on the other, between two network namespaces. Needs root; says so where it
//! cannot run.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

use cvlan_io::{BATCH, Received, Run, UdpPort, wait_readable};
use cvlan_offload::Ecn;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CEILING: Duration = Duration::from_secs(60);
const PORT: u16 = 4000;
const ADDRESSES: [&str; 2] = ["10.9.0", "fd09::"];
/// Of each direction and family.
const BYTES: usize = 16 << 20;
/// Odd, so that checksums end in half a word.
const DATAGRAM: usize = 1111;
const DATAGRAMS: usize = 40;

fn ip(arguments: &str) -> bool {
    Command::new("ip")
        .args(arguments.split(' '))
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Two namespaces joined by a cable, with a forwarder in each.
struct Pair {
    prefix: String,
    forwarders: Vec<Child>,
}

impl Pair {
    fn new() -> Option<Self> {
        let prefix = format!("cvf{}", std::process::id());
        let up = ip(&format!("netns add {prefix}-1"))
            && ip(&format!("netns add {prefix}-2"))
            && ip(&format!(
                "link add eth0 netns {prefix}-1 type veth peer name eth0 netns {prefix}-2"
            ))
            && (1..=2).all(|n| {
                ip(&format!("-n {prefix}-{n} addr add 192.0.2.{n}/24 dev eth0"))
                    && ip(&format!("-n {prefix}-{n} link set lo up"))
                    && ip(&format!("-n {prefix}-{n} link set eth0 up"))
            });
        let mut pair = Self {
            prefix,
            forwarders: Vec::new(),
        };
        if !up {
            return None;
        }
        for n in 1..=2 {
            pair.forward(n);
        }
        Some(pair)
    }

    fn namespace(&self, n: usize) -> String {
        format!("{}-{n}", self.prefix)
    }

    fn forward(&mut self, n: usize) {
        let namespace = self.namespace(n);
        let mut forwarder = Command::new("ip")
            .args(["netns", "exec", &namespace, env!("CARGO_BIN_EXE_cvlan-lab"), "forward"])
            .args(["--tun", "cv0", "--listen", "7000", "--peer"])
            .arg(format!("192.0.2.{}:7000", 3 - n))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(forwarder.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        self.forwarders.push(forwarder);
        assert!(line.contains("\"offload\":\"Tcp"), "no offload: {line}");
        for command in [
            format!("-n {namespace} link set cv0 mtu 1420 up"),
            format!("-n {namespace} addr add 10.9.0.{n}/24 dev cv0"),
            format!("-n {namespace} addr add fd09::{n}/64 dev cv0 nodad"),
        ] {
            assert!(ip(&command), "{command}");
        }
    }

    /// A function of this file as a program in a namespace.
    fn program(&self, n: usize, name: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace(n)])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--ignored", "--nocapture"]);
        command
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for forwarder in &mut self.forwarders {
            forwarder.kill().ok();
            forwarder.wait().ok();
        }
        ip(&format!("netns del {}", self.namespace(1)));
        ip(&format!("netns del {}", self.namespace(2)));
    }
}

fn address(family: &str, n: usize) -> SocketAddr {
    let text = if family.contains(':') {
        format!("[{family}{n}]:{PORT}")
    } else {
        format!("{family}.{n}:{PORT}")
    };
    text.parse().unwrap()
}

fn bytes(length: usize, seed: usize) -> Vec<u8> {
    (0..length)
        .map(|n| (n * 31 + n / 251 + n / 65_521 + seed) as u8)
        .collect()
}

/// Counters of this namespace by protocol and name.
fn snmp() -> BTreeMap<String, i64> {
    let mut all = BTreeMap::new();
    let text = fs::read_to_string("/proc/self/net/snmp").unwrap();
    for (names, values) in text.lines().step_by(2).zip(text.lines().skip(1).step_by(2)) {
        let protocol = names.split(':').next().unwrap();
        let values = values.split(' ').skip(1).map(|value| value.parse().unwrap());
        all.extend(
            names
                .split(' ')
                .skip(1)
                .zip(values)
                .map(|(name, value)| (format!("{protocol}.{name}"), value)),
        );
    }
    for line in fs::read_to_string("/proc/self/net/snmp6").unwrap().lines() {
        let (name, value) = line.split_once(char::is_whitespace).unwrap();
        all.insert(name.to_owned(), value.trim().parse().unwrap());
    }
    all
}

#[test]
fn super_packets_of_the_kernel_arrive_as_they_were_sent() {
    let Some(pair) = Pair::new() else {
        eprintln!("skipped: making network namespaces needs root");
        return;
    };
    let mut answers = pair.program(2, "program_that_answers").spawn().unwrap();
    let asks = pair.program(1, "program_that_asks").status().unwrap();
    if !asks.success() {
        answers.kill().ok();
    }
    assert!(answers.wait().unwrap().success() && asks.success());
}

fn listen<T>(mut bind: impl FnMut() -> std::io::Result<T>) -> T {
    let deadline = Instant::now() + CEILING;
    loop {
        match bind() {
            Ok(bound) => return bound,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends everything and receives everything, both at once.
fn exchange(stream: &TcpStream, own: usize, other: usize) {
    stream.set_read_timeout(Some(CEILING)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let all = bytes(BYTES, own);
            // Of many sizes, so that there are super-packets of many shapes.
            let mut rest = all.as_slice();
            for size in (1..).map(|n: usize| n * 7919 % 200_000 + 1) {
                let (now, later) = rest.split_at(size.min(rest.len()));
                (&mut &*stream).write_all(now).unwrap();
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
        });
        let mut got = vec![0; BYTES];
        (&mut &*stream).read_exact(&mut got).unwrap();
        assert!(got == bytes(BYTES, other), "other bytes arrived than were sent");
    });
}

#[test]
#[ignore = "a program that a test above runs in a namespace"]
fn program_that_answers() {
    let udp = UdpPort::bind(PORT, true).unwrap();
    for family in ADDRESSES {
        let listener = listen(|| TcpListener::bind(address(family, 2)));
        let (stream, _) = listener.accept().unwrap();
        exchange(&stream, 2, 1);
        let mut got: Vec<u8> = Vec::new();
        while got.len() < DATAGRAM * DATAGRAMS - 5 {
            assert_eq!(
                wait_readable([udp.as_fd()], Some(CEILING)).unwrap(),
                [true],
                "nothing came"
            );
            let mut rooms = vec![vec![0u8; 65_535]; 4];
            let mut received = [Received::default(); BATCH];
            let count = udp
                .recv_batch(rooms.iter_mut().map(Vec::as_mut_slice), &mut received)
                .unwrap();
            for (room, one) in rooms.iter().zip(received).take(count) {
                assert!(one.segment == DATAGRAM || one.len == DATAGRAM - 5);
                got.extend_from_slice(&room[..one.len]);
            }
        }
        assert!(got == bytes(DATAGRAM * DATAGRAMS - 5, 3));
        (&mut &stream).write_all(b"done").unwrap();
    }
    let counts = snmp();
    assert_eq!((counts["Tcp.InCsumErrors"], counts["Udp.InCsumErrors"]), (0, 0));
    assert_eq!((counts["Udp6InCsumErrors"], counts["Ip.InHdrErrors"]), (0, 0));
}

#[test]
#[ignore = "a program that a test above runs in a namespace"]
fn program_that_asks() {
    let udp = UdpPort::bind(0, true).unwrap();
    for family in ADDRESSES {
        let stream = listen(|| TcpStream::connect_timeout(&address(family, 2), CEILING));
        exchange(&stream, 1, 2);
        let all = bytes(DATAGRAM * DATAGRAMS - 5, 3);
        let run = Run {
            to: address(family, 2),
            bytes: &all,
            segment: DATAGRAM,
            ecn: Ecn::NotCapable,
        };
        assert_eq!(udp.send_batch(std::iter::once(run)).taken, DATAGRAMS as u64);
        let mut done = [0; 4];
        (&mut &stream).read_exact(&mut done).unwrap();
    }
    assert_eq!(snmp()["Tcp.InCsumErrors"], 0);
}
