//! One engine process follows another, with real TUN interfaces in two network namespaces. Needs root; says so where it
//! cannot run.

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

use cable::{CEILING, Cable, Node, ip, pair, pair_by};
use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_io::{anonymous_memory, is_sealed, receive_descriptors, seal, send_descriptors};
use cvlan_testkit::{Tenant, rule};
use entity::{PolicyAction, PolicyProtocol};
use prost::Message;
use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

const HELLO: i32 = 1;
const FROZEN: i32 = 2;
const UNABLE: i32 = 3;
const LEAVE: i32 = 4;
const STOP: i32 = 5;
const STATE: i32 = 6;
const READY: i32 = 7;
const COMMIT: i32 = 8;

/// What engines say to each other, as another version would read it.
#[derive(Clone, PartialEq, Message)]
struct Note {
    #[prost(int32, tag = "1")]
    step: i32,
    #[prost(uint32, repeated, tag = "2")]
    formats: Vec<u32>,
    #[prost(string, tag = "5")]
    why: String,
    #[prost(int32, repeated, tag = "6")]
    kinds: Vec<i32>,
}

/// The other end of a conversation with an engine.
struct Other(UnixStream);

impl Other {
    fn connect(state: &Path) -> Self {
        let stream = UnixStream::connect(state.join("handover.sock")).unwrap();
        stream.set_read_timeout(Some(CEILING)).unwrap();
        Self(stream)
    }

    fn say(&self, step: i32, formats: &[u32]) {
        self.give(step, formats, &[], &[]);
    }

    fn give(&self, step: i32, formats: &[u32], kinds: &[i32], with: &[&File]) {
        let note = Note {
            step,
            formats: formats.to_vec(),
            kinds: kinds.to_vec(),
            ..Note::default()
        };
        let body = note.encode_to_vec();
        let bytes = [&u32::try_from(body.len()).unwrap().to_le_bytes()[..], &body].concat();
        let fds: Vec<_> = with.iter().map(|file| file.as_fd()).collect();
        send_descriptors(self.0.as_fd(), &bytes, &fds).unwrap();
    }

    fn hear(&self) -> (Note, Vec<OwnedFd>) {
        let (mut room, mut descriptors) = ([0; 4096], Vec::new());
        let length = receive_descriptors(self.0.as_fd(), &mut room, &mut descriptors).unwrap();
        assert!(length > 4, "the engine hung up");
        (Note::decode(&room[4..length]).unwrap(), descriptors)
    }

    fn hears(&self, step: i32) -> Vec<OwnedFd> {
        let (note, descriptors) = self.hear();
        assert_eq!(note.step, step, "{note:?}");
        descriptors
    }
}

fn engine(node: &Node) -> Command {
    let mut command = Command::new("ip");
    command
        .args([
            "netns",
            "exec",
            &node.namespace,
            env!("CARGO_BIN_EXE_cvlan-engine"),
            "run",
        ])
        .args(["--take-over", "--state"])
        .arg(&node.state);
    command
}

/// Starts the process that follows, and waits until it answers and the former one has ended.
async fn follow(node: &mut Node) -> pb::EngineStatus {
    let former = node.status().await.instance_id;
    let successor = engine(node).spawn().unwrap();
    let mut ended = std::mem::replace(&mut node.program, successor);
    let deadline = Instant::now() + CEILING;
    while ended.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the former engine did not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(ended.wait().unwrap().success());
    node.reach().await;
    let status = node.status().await;
    assert_ne!(status.instance_id, former);
    let takeover = status.takeover.clone().unwrap();
    assert_eq!(takeover.former_instance_id, former);
    status
}

fn handshakes(status: &pb::EngineStatus) -> (u64, u64) {
    let counter = |name: &str| status.counters[name];
    (counter("handshakes_initiated"), counter("handshakes_completed"))
}

fn allow_from_first() -> entity::RuleRecord {
    let node = |id: &str| entity::RuleSelector {
        selector: Some(entity::rule_selector::Selector::NodeId(id.into())),
    };
    entity::RuleRecord {
        sources: vec![node("node_1")],
        ..rule(1, PolicyAction::Allow, PolicyProtocol::Udp)
    }
}

/// Numbers go from a to b a thousand times a second and come back, which only the flow that a remembers allows; a is
/// replaced three times meanwhile.
#[tokio::test]
async fn sessions_and_flows_go_on_in_another_process() {
    let Some((_cable, _folder, mut a, mut b)) = pair_by(&[allow_from_first()]).await else {
        eprintln!("skipped: making network namespaces needs root");
        return;
    };
    let mut echo = b.program("program_that_answers").stdin(Stdio::piped()).spawn().unwrap();
    let numbers = a
        .program("program_that_counts")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut numbers = numbers.unwrap();
    let deadline = Instant::now() + CEILING;
    while a.status().await.counters["rx_packets"] < 100 {
        assert!(Instant::now() < deadline, "nothing comes back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (before, before_b) = (a.status().await, b.status().await);
    for _ in 0..3 {
        let former = a.status().await;
        let status = follow(&mut a).await;
        let takeover = status.takeover.unwrap();
        assert_eq!((takeover.ordinary.as_str(), takeover.sessions), ("", 1));
        assert!(takeover.flows >= 1);
        eprintln!("a gap of {} us", takeover.gap_us);
        assert!(takeover.gap_us > 0 && takeover.gap_us < 1_000_000, "five times 200 ms");
        assert!(status.counters["tx_packets"] >= former.counters["tx_packets"]);
        assert!(status.peers[0].bytes_sent >= former.peers[0].bytes_sent);
        assert_eq!(
            (status.generation, status.listen_port),
            (former.generation, former.listen_port)
        );
        assert_eq!(status.rules.len(), 1);
        assert!(status.rules[0].packets >= former.rules[0].packets);
        assert!(
            status.dns.unwrap().listen.is_some(),
            "names are answered on the same socket"
        );
        let latest = |status: &pb::EngineStatus| status.peers[0].latest_handshake_at.unwrap().seconds;
        assert!((latest(&before) - latest(&former)).abs() <= 1);
    }
    drop(numbers.stdin.take());
    let Output { stdout, status, .. } = numbers.wait_with_output().unwrap();
    drop(echo.stdin.take());
    echo.kill().unwrap();
    echo.wait().unwrap();
    let told = String::from_utf8(stdout).unwrap();
    let told = told
        .lines()
        .find(|line| line.starts_with("sent "))
        .unwrap_or_else(|| panic!("{told}"));
    eprintln!("{told}");
    assert!(status.success(), "{told}");
    let numbers: Vec<u64> = told.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers[0], numbers[1], "a packet was lost");
    let (after, after_b) = (a.status().await, b.status().await);
    assert_eq!(handshakes(&after), handshakes(&before), "no handshake was needed");
    assert_eq!(handshakes(&after_b), handshakes(&before_b));
    for (name, status) in [("a", &after), ("b", &after_b)] {
        for counter in [
            "rx_dropped_unknown_peer",
            "rx_dropped_auth",
            "rx_dropped_filter",
            "tx_dropped_filter",
        ] {
            assert_eq!(status.counters[counter], 0, "{counter} of {name}");
        }
    }
}

#[test]
#[ignore = "a program that a test above runs in a namespace"]
fn program_that_answers() {
    let socket = UdpSocket::bind("100.64.0.2:7000").unwrap();
    let mut room = [0; 64];
    loop {
        let (length, from) = socket.recv_from(&mut room).unwrap();
        socket.send_to(&room[..length], from).unwrap();
    }
}

/// Until its standard input ends.
#[test]
#[ignore = "a program that a test above runs in a namespace"]
fn program_that_counts() {
    let socket = UdpSocket::bind("100.64.0.1:0").unwrap();
    socket.connect("100.64.0.2:7000").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let receiving = socket.try_clone().unwrap();
    let ended = std::thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let sending = std::thread::spawn(move || {
        let start = Instant::now();
        let mut sent: u64 = 0;
        while !ended.is_finished() {
            // The first one may find nobody listening yet.
            if socket.send(&sent.to_be_bytes()).is_ok() {
                sent += 1;
            }
            let due = Duration::from_millis(sent);
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
        sent
    });
    let mut seen = std::collections::HashSet::new();
    let mut room = [0; 64];
    while let Ok(length) = receiving.recv(&mut room) {
        seen.insert(u64::from_be_bytes(room[..length].try_into().unwrap()));
    }
    let sent = sending.join().unwrap();
    // What went before anybody listened does not count.
    println!("\nsent {} back {}", sent - seen.iter().min().unwrap_or(&0), seen.len());
}

#[tokio::test]
async fn a_flow_that_the_policy_cut_stays_cut() {
    let Some((_cable, _folder, mut a, b)) = pair_by(&[rule(1, PolicyAction::Allow, PolicyProtocol::Any)]).await else {
        eprintln!("skipped: making network namespaces needs root");
        return;
    };
    assert!(a.ping(2).await.is_some());
    let tenant = Tenant::new(1, SystemTime::now() - Duration::from_secs(60));
    let gone = entity::MapUpdate {
        removed_rules: vec![vec![1; 16]],
        ..tenant.delta(1, 2, &[], &[])
    };
    let request = pb::ApplyRequest {
        generation: 3,
        settings: None,
        updates: vec![gone],
    };
    a.client.apply(request).await.unwrap();
    let status = follow(&mut a).await;
    let takeover = status.takeover.unwrap();
    assert_eq!((takeover.sessions, takeover.flows), (1, 0));
    let before = status.counters["tx_dropped_filter"];
    assert!(a.ping(2).await.is_none());
    assert_eq!(a.status().await.counters["tx_dropped_filter"], before + 1);
    drop(b);
}

#[tokio::test]
async fn a_successor_that_fails_before_it_is_told_to_begin_changes_nothing() {
    let Some((_cable, _folder, mut a, _b)) = pair().await else {
        eprintln!("skipped: making network namespaces needs root");
        return;
    };
    assert!(a.ping(2).await.is_some());
    let before = a.status().await;
    // Hangs up at each step that it can.
    let other = Other::connect(&a.state);
    drop(other);
    let other = Other::connect(&a.state);
    other.say(READY, &[]);
    assert_eq!((&other.0).read(&mut [0; 8]).unwrap(), 0, "that is no greeting");
    let other = Other::connect(&a.state);
    other.say(HELLO, &[1]);
    other.hears(FROZEN);
    drop(other);
    let other = Other::connect(&a.state);
    other.say(HELLO, &[7, 1]);
    other.hears(FROZEN);
    other.say(STOP, &[]);
    let descriptors = other.hears(STATE);
    let memory = File::from(descriptors.into_iter().next().unwrap());
    assert!(is_sealed(&memory));
    assert!(
        (&memory).write(b"x").is_err() && memory.set_len(1).is_err(),
        "nobody changes it"
    );
    drop(other);
    assert!(a.ping(2).await.is_some());
    // Says nothing any more, and does not hang up.
    let other = Other::connect(&a.state);
    other.say(HELLO, &[1]);
    other.hears(FROZEN);
    other.say(STOP, &[]);
    let _held = other.hears(STATE);
    assert_eq!(
        (&other.0).read(&mut [0; 8]).unwrap(),
        0,
        "it is not waited for any longer"
    );
    assert!(a.ping(2).await.is_some());
    let after = a.status().await;
    assert_eq!(after.instance_id, before.instance_id);
    assert_eq!(handshakes(&after), handshakes(&before));
    assert!(after.dns.unwrap().listen.is_some());
}

#[tokio::test]
async fn a_successor_that_dies_after_it_was_told_to_begin_leaves_a_folder_to_start_on() {
    let Some((_cable, folder, mut a, _b)) = pair().await else {
        eprintln!("skipped: making network namespaces needs root");
        return;
    };
    assert!(a.ping(2).await.is_some());
    let other = Other::connect(&a.state);
    other.say(HELLO, &[1]);
    other.hears(FROZEN);
    other.say(STOP, &[]);
    let held = other.hears(STATE);
    other.say(READY, &[]);
    other.hears(COMMIT);
    assert!(a.program.wait().unwrap().success(), "the former one ends for good");
    assert!(
        ip(&format!("-n {} link show dev cv0", a.namespace)),
        "its interface is in the other's hands"
    );
    drop(held);
    drop(other);
    let mut a = Node::start(a.namespace.clone(), 1, folder.path()).await;
    a.configure();
    assert!(a.ping(2).await.is_some());
    assert!(a.status().await.takeover.is_none());
}

/// Says what the former engine would, with a state of its own, and what the successor's last words are.
fn refused(node: &Node, states: &[(&str, File, &str)]) {
    let path = node.state.join("handover.sock");
    for (what, memory, why) in states {
        std::fs::remove_file(&path).ok();
        let listener = UnixListener::bind(&path).unwrap();
        let successor = engine(node).stderr(Stdio::piped()).spawn().unwrap();
        let other = Other(listener.accept().unwrap().0);
        other.hears(HELLO);
        other.say(FROZEN, &[1]);
        other.hears(STOP);
        other.give(STATE, &[], &[1], &[memory]);
        let Output { status, stderr, .. } = successor.wait_with_output().unwrap();
        let words = String::from_utf8(stderr).unwrap();
        assert!(!status.success(), "{what} was taken");
        assert!(words.contains(why), "{what}: {words}");
    }
}

fn memory(bytes: &[u8]) -> File {
    let mut memory = anonymous_memory().unwrap();
    memory.write_all(bytes).unwrap();
    memory
}

fn sealed(bytes: &[u8]) -> File {
    let memory = memory(bytes);
    seal(&memory).unwrap();
    memory
}

#[tokio::test]
async fn a_state_that_is_none_is_not_taken() {
    let Some((_cable, folder, mut a, _b)) = pair().await else {
        eprintln!("skipped: making network namespaces needs root");
        return;
    };
    assert!(a.ping(2).await.is_some());
    let other = Other::connect(&a.state);
    other.say(HELLO, &[1]);
    other.hears(FROZEN);
    other.say(STOP, &[]);
    let mut good = Vec::new();
    let told = File::from(other.hears(STATE).into_iter().next().unwrap());
    std::io::Seek::rewind(&mut &told).unwrap();
    (&told).read_to_end(&mut good).unwrap();
    drop(other);
    a.kill();
    let huge = anonymous_memory().unwrap();
    huge.set_len(1 << 30).unwrap();
    seal(&huge).unwrap();
    let on_disk = folder.path().join("state");
    std::fs::write(&on_disk, &good).unwrap();
    let at = good.len() / 2;
    let mut flipped = good.clone();
    flipped[at] ^= 0xff;
    refused(
        &a,
        &[
            ("memory that can change", memory(&good), "not sealed"),
            ("a file", File::open(&on_disk).unwrap(), "not sealed"),
            ("a gigabyte", huge, "too long"),
            ("nothing", sealed(&[]), "not whole"),
            ("noise", sealed(&[0xff; 4096]), "not used"),
            ("half of it", sealed(&good[..at]), "not used"),
            ("twice", sealed(&[&good[..], &good].concat()), "not whole"),
            ("zeroes", sealed(&[0; 4096]), "not used"),
        ],
    );
    // A flipped byte may be one of a counter; whatever it is, it brings down nobody.
    drop(sealed(&flipped));
    std::fs::remove_file(a.state.join("handover.sock")).ok();
    let mut a = Node::start(a.namespace.clone(), 1, folder.path()).await;
    a.configure();
    assert!(a.ping(2).await.is_some(), "the folder is as it was");
}

#[tokio::test]
async fn versions_without_a_common_form_restart_and_say_so() {
    let Some((_cable, folder, mut a, _b)) = pair().await else {
        eprintln!("skipped: making network namespaces needs root");
        return;
    };
    assert!(a.ping(2).await.is_some());
    let other = Other::connect(&a.state);
    other.say(HELLO, &[99]);
    let (note, _) = other.hear();
    assert_eq!(note.step, UNABLE);
    assert!(note.why.contains("no common form"), "{}", note.why);
    assert!(a.ping(2).await.is_some(), "until it is asked to leave it goes on");
    other.say(LEAVE, &[]);
    assert!(a.program.wait().unwrap().success());
    // The other way round: a former one that cannot.
    let path = a.state.join("handover.sock");
    let listener = UnixListener::bind(&path).unwrap();
    a.program = engine(&a).spawn().unwrap();
    let other = Other(listener.accept().unwrap().0);
    other.hears(HELLO);
    let note = Note {
        step: UNABLE,
        why: "written\nby hand".into(),
        ..Note::default()
    };
    let body = note.encode_to_vec();
    let bytes = [&u32::try_from(body.len()).unwrap().to_le_bytes()[..], &body].concat();
    send_descriptors(other.0.as_fd(), &bytes, &[]).unwrap();
    other.hears(LEAVE);
    drop(listener);
    drop(other);
    a.reach().await;
    assert_eq!(a.status().await.takeover.unwrap().ordinary, "written?by hand");
    a.configure();
    assert!(a.ping(2).await.is_some());
    drop(folder);
}

#[tokio::test]
async fn somebody_else_gets_nothing() {
    let Some(cable) = Cable::new() else {
        eprintln!("skipped: making network namespaces needs root");
        return;
    };
    let folder = TempDir::new().unwrap();
    let a = Node::start(cable.namespace(1), 1, folder.path()).await;
    let socket = a.state.join("handover.sock");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&socket), mode(&a.state)), (0o600, 0o700));
    // As if the file modes had failed.
    for (path, mode) in [
        (folder.path(), 0o755),
        (a.state.as_path(), 0o755),
        (socket.as_path(), 0o666),
    ] {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let program = folder.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let asked = Command::new(program)
        .args(["--ignored", "--exact", "--nocapture", "program_that_greets"])
        .env("HANDOVER", &a.state)
        .current_dir("/")
        .uid(65_534)
        .status();
    assert!(asked.unwrap().success());
}

#[test]
#[ignore = "a program that a test above runs as another user"]
fn program_that_greets() {
    let other = Other::connect(Path::new(&std::env::var_os("HANDOVER").unwrap()));
    // It may be hung up on before.
    let body = [8, 1, 18, 1, 1];
    let greeting = [&[5, 0, 0, 0][..], &body].concat();
    send_descriptors(other.0.as_fd(), &greeting, &[]).ok();
    let heard = receive_descriptors(other.0.as_fd(), &mut [0; 64], &mut Vec::new());
    assert!(!heard.is_ok_and(|bytes| bytes > 0), "somebody else was answered");
}
