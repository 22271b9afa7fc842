//! The real program, by its control socket and its signals.

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
use common::{CEILING, pair, wait_until};
use cvlan_engine::server;
use cvlan_testkit::{node, rule};
use entity::{PolicyAction, PolicyProtocol};
use pb::engine_service_client::EngineServiceClient;
use pb::watch_response::Item;
use prost::Message;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

type Client = EngineServiceClient<Channel>;

async fn connect(socket: &Path) -> Option<Client> {
    let endpoint = Endpoint::try_from(format!("unix://{}", socket.display())).unwrap();
    endpoint.connect().await.ok().map(EngineServiceClient::new)
}

/// A running program; killed when dropped.
struct Program(Child);

impl Program {
    fn start(state: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cvlan-engine"));
        Self(
            command
                .arg("run")
                .arg("--state")
                .arg(state)
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }

    async fn client(state: &Path) -> Client {
        let connected = timeout(CEILING, async {
            loop {
                if let Some(client) = connect(&state.join("engine.sock")).await {
                    return client;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        });
        connected.await.expect("the control socket never answered")
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    fn end(&mut self) -> std::process::ExitStatus {
        let mut status = None;
        wait_until("the program ends", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn state() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("engine");
    (folder, state)
}

#[tokio::test]
async fn the_socket_is_ours_alone_and_goes_with_the_process() {
    let (_folder, state) = state();
    let mut program = Program::start(&state);
    let mut client = Program::client(&state).await;
    let socket = state.join("engine.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&state).unwrap().mode() & 0o777, 0o700);
    assert!(!state.join("keys").exists(), "keys are made when they are asked for");
    let identity = client
        .get_identity(pb::GetIdentityRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(identity.wireguard_public_key.len(), 32);
    assert_eq!(std::fs::metadata(state.join("keys")).unwrap().mode() & 0o777, 0o600);
    program.signal("HUP");
    let again = client
        .get_identity(pb::GetIdentityRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(identity, again, "a hangup is ignored");
    program.signal("TERM");
    assert!(program.end().success());
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_live_socket_is_refused_and_a_dead_one_replaced() {
    let (_folder, state) = state();
    let mut first = Program::start(&state);
    let before = Program::client(&state)
        .await
        .get_identity(pb::GetIdentityRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(!Program::start(&state).end().success(), "two engines on one state");
    first.signal("KILL");
    assert_eq!(first.end().signal(), Some(9));
    assert!(state.join("engine.sock").exists());
    let _second = Program::start(&state);
    let after = Program::client(&state)
        .await
        .get_identity(pb::GetIdentityRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(before.wireguard_public_key, after.wireguard_public_key);
    assert_ne!(before.instance_id, after.instance_id);
}

#[tokio::test]
async fn of_engines_that_start_at_once_on_one_state_one_stays() {
    let (_folder, state) = state();
    let mut first = Program::start(&state);
    Program::client(&state).await;
    first.signal("KILL");
    first.end();
    for _ in 0..3 {
        let mut all: Vec<_> = (0..5).map(|_| Program::start(&state)).collect();
        wait_until("all but one gave up", || {
            let ended = all.iter_mut().filter_map(|one| one.0.try_wait().unwrap());
            ended.inspect(|status| assert!(!status.success())).count() == 4
        });
        let mut client = Program::client(&state).await;
        client.get_identity(pb::GetIdentityRequest {}).await.unwrap();
    }
}

#[tokio::test]
async fn a_socket_is_made_only_where_nobody_else_and_nothing_else_is() {
    let (folder, state) = state();
    let run = |socket: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cvlan-engine"));
        command
            .arg("run")
            .arg("--state")
            .arg(&state)
            .arg("--socket")
            .arg(socket);
        command.stderr(Stdio::piped()).output().unwrap()
    };
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let file = folder.path().join("precious");
    std::fs::write(&file, "content").unwrap();
    let refused = run(&file);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("precious"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "content");
    let open = folder.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
    let refused = run(&open.join("engine.sock"));
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("chmod 700"));
}

#[tokio::test]
async fn shutdown_ends_the_process_even_with_a_watcher() {
    let (_folder, state) = state();
    let mut program = Program::start(&state);
    let mut client = Program::client(&state).await;
    let mut watch = client.watch(pb::WatchRequest::default()).await.unwrap().into_inner();
    assert!(matches!(
        watch.message().await.unwrap().unwrap().item,
        Some(Item::Opened(_))
    ));
    assert!(matches!(
        watch.message().await.unwrap().unwrap().item,
        Some(Item::Status(_))
    ));
    client.shutdown(pb::ShutdownRequest {}).await.unwrap();
    let started = std::time::Instant::now();
    assert!(program.end().success());
    assert!(
        started.elapsed() < std::time::Duration::from_secs(4),
        "watchers are not waited for"
    );
}

#[tokio::test]
async fn a_readable_key_file_or_folder_is_refused() {
    let (_folder, state) = state();
    let mut program = Program::start(&state);
    Program::client(&state)
        .await
        .get_identity(pb::GetIdentityRequest {})
        .await
        .unwrap();
    program.signal("TERM");
    program.end();
    std::fs::set_permissions(state.join("keys"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!Program::start(&state).end().success());
    std::fs::set_permissions(state.join("keys"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(!Program::start(&state).end().success());
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut program = Program::start(&state);
    Program::client(&state).await;
    program.signal("INT");
    assert!(program.end().success());
}

#[tokio::test]
async fn bad_requests_name_the_field_and_the_remedy() {
    let (_folder, state) = state();
    let _program = Program::start(&state);
    let mut client = Program::client(&state).await;
    let prove = |server: usize, challenge: usize, transcript: usize| pb::ProveRequest {
        server_public_key: vec![9; server],
        challenge: vec![1; challenge],
        transcript: vec![1; transcript],
    };
    assert_eq!(
        client
            .prove(prove(32, 16, 32))
            .await
            .unwrap()
            .into_inner()
            .wireguard_proof
            .len(),
        32
    );
    for (request, field) in [
        (prove(31, 16, 32), "server_public_key"),
        (prove(32, 0, 32), "challenge"),
        (prove(32, 513, 32), "challenge"),
        (prove(32, 16, 33), "transcript"),
        (
            pb::ProveRequest {
                server_public_key: vec![0; 32],
                ..prove(32, 16, 32)
            },
            "server_public_key",
        ),
    ] {
        let status = client.prove(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(
            status
                .details()
                .windows(field.len())
                .any(|part| part == field.as_bytes()),
            "{field}"
        );
    }
    let ping = pb::PingRequest {
        destination: vec![1, 2, 3],
        ..pb::PingRequest::default()
    };
    assert_eq!(client.ping(ping).await.unwrap_err().code(), Code::InvalidArgument);
    let ping = pb::PingRequest {
        destination: vec![100, 64, 0, 2],
        ..pb::PingRequest::default()
    };
    assert_eq!(client.ping(ping).await.unwrap_err().code(), Code::FailedPrecondition);
    let huge = pb::ApplyRequest {
        updates: vec![entity::MapUpdate {
            head: vec![0; 17 << 20],
            ..entity::MapUpdate::default()
        }],
        ..pb::ApplyRequest::default()
    };
    assert_eq!(client.apply(huge).await.unwrap_err().code(), Code::OutOfRange);
    client.get_status(pb::GetStatusRequest::default()).await.unwrap();
}

/// The network stack of a host, as far as ping goes.
fn answer_echo(os: &std::os::unix::net::UnixDatagram) {
    let mut room = [0; 2048];
    while let Ok(length) = os.recv(&mut room) {
        let packet = &mut room[..length];
        if packet[9] == 1 && packet[20] == 8 {
            for at in 12..16 {
                packet.swap(at, at + 4);
            }
            packet[20] = 0;
            os.send(packet).unwrap();
        }
    }
}

#[tokio::test]
async fn ping_and_explain_over_the_socket() {
    let (tenant, mut a, mut b) = pair(&[rule(1, PolicyAction::Allow, PolicyProtocol::Icmp)]);
    let os = b.os.take().unwrap();
    std::thread::spawn(move || answer_echo(&os));
    let socket = a.state().join("engine.sock");
    let listener = server::bind(&socket).unwrap();
    let asked = Arc::new(Notify::new());
    tokio::spawn(server::serve(a.engine.clone(), listener, asked, std::future::pending()));
    let mut client = connect(&socket).await.unwrap();

    let explain = pb::ExplainRequest {
        packet: Some(pb::Packet {
            source: vec![100, 64, 0, 1],
            destination: vec![100, 64, 0, 2],
            protocol: 1,
            ..pb::Packet::default()
        }),
        direction: pb::Direction::Outbound.into(),
    };
    let explained = client.explain(explain.clone()).await.unwrap().into_inner();
    assert!(explained.forwarded, "{explained:?}");

    let ping = pb::PingRequest {
        destination: vec![100, 64, 0, 2],
        count: 3,
        interval_ms: 10,
        timeout_ms: 20_000,
    };
    let mut answers = client.ping(ping.clone()).await.unwrap().into_inner();
    let mut sequences = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        assert!(answer.rtt_us.is_some(), "{answer:?}");
        sequences.push(answer.sequence);
    }
    sequences.sort_unstable();
    assert_eq!(sequences, [1, 2, 3]);
    assert!(a.receives_nothing(), "answers to our own pings are not the host's");

    let gone = entity::MapUpdate {
        removed_rules: vec![vec![1; 16]],
        ..tenant.delta(1, 2, &[], &[])
    };
    a.apply(None, vec![gone]).unwrap();
    let explained = client.explain(explain).await.unwrap().into_inner();
    assert!(!explained.forwarded);
    assert_eq!(explained.hops.last().unwrap().name, "filter");
    let denied = pb::PingRequest {
        count: 1,
        timeout_ms: 200,
        ..ping
    };
    let mut answers = client.ping(denied).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().rtt_us, None);
    assert!(a.counter("tx_dropped_filter") > 0);
}

#[tokio::test]
async fn a_watcher_hears_what_happens() {
    let (tenant, mut a, _b) = pair(&[]);
    let socket = a.state().join("engine.sock");
    let listener = server::bind(&socket).unwrap();
    tokio::spawn(server::serve(
        a.engine.clone(),
        listener,
        Arc::new(Notify::new()),
        std::future::pending(),
    ));
    let mut client = connect(&socket).await.unwrap();
    let mut watch = client.watch(pb::WatchRequest::default()).await.unwrap().into_inner();
    let Some(Item::Opened(opened)) = watch.message().await.unwrap().unwrap().item else {
        panic!("not opened")
    };
    assert_eq!((opened.generation, opened.instance_id.len()), (2, 32));
    for (without_peers, peers) in [(false, 1), (true, 0)] {
        let request = pb::GetStatusRequest { without_peers };
        let status = client.get_status(request).await.unwrap().into_inner().status.unwrap();
        assert_eq!((status.peers.len(), status.generation), (peers, 2));
        let watch = client.watch(pb::WatchRequest { without_peers }).await;
        let mut watch = watch.unwrap().into_inner();
        watch.message().await.unwrap();
        let Some(Item::Status(status)) = watch.message().await.unwrap().unwrap().item else {
            panic!("no status")
        };
        assert_eq!((status.peers.len(), status.generation), (peers, 2));
    }
    let step = entity::MapUpdate {
        removed_nodes: vec!["node_2".into()],
        ..tenant.delta(1, 2, &[], &[])
    };
    a.apply(None, vec![step]).unwrap();
    let (mut event, mut status) = (false, false);
    let heard = timeout(CEILING, async {
        while !(event && status) {
            match watch.message().await.unwrap().unwrap().item.unwrap() {
                Item::Event(one) => event |= one.name == "peer_removed" && one.node_id == "node_2",
                Item::Status(one) => status |= one.peers.is_empty() && one.generation == 3,
                Item::Opened(_) | Item::Span(_) => panic!("opened twice"),
            }
        }
    });
    heard.await.expect("the watcher was not told");
}

#[test]
fn evaluate_judges_without_an_engine() {
    let request = pb::EvaluateRequest {
        source: Some(node(1, [1; 32])),
        destination: Some(node(2, [2; 32])),
        rules: vec![rule(1, PolicyAction::Allow, PolicyProtocol::Tcp)],
        packets: [6, 17]
            .map(|protocol| pb::Packet {
                source: vec![100, 64, 0, 1],
                destination: vec![100, 64, 0, 2],
                protocol,
                source_port: 40_000,
                destination_port: 443,
            })
            .to_vec(),
        ..pb::EvaluateRequest::default()
    };
    let run = |input: &[u8]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cvlan-engine"));
        command
            .arg("evaluate")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = run(&request.encode_to_vec());
    assert!(output.status.success());
    let verdicts = pb::EvaluateResponse::decode(output.stdout.as_slice()).unwrap().verdicts;
    assert_eq!(
        verdicts.iter().map(|verdict| verdict.allowed).collect::<Vec<_>>(),
        [true, false]
    );
    let garbage = run(b"\xff\xff\xff");
    assert!(!garbage.status.success());
    assert!(String::from_utf8_lossy(&garbage.stderr).contains("EvaluateRequest"));
}
