//! What the real program shows of itself: figures over HTTP, spans to whoever watches.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use pb::engine_service_client::EngineServiceClient;
use pb::watch_response::Item;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

/// Generous: the machine may be busy with other things.
const CEILING: Duration = Duration::from_secs(30);
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const NOT_SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// A running program; killed when dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(state: &Path, metrics: SocketAddr) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvlan-engine"));
    command
        .args(["run", "--metrics", &metrics.to_string(), "--state"])
        .arg(state);
    Program(command.stderr(Stdio::null()).spawn().unwrap())
}

async fn client(state: &Path) -> EngineServiceClient<Channel> {
    let socket = format!("unix://{}", state.join("engine.sock").display());
    let deadline = Instant::now() + CEILING;
    loop {
        if let Ok(channel) = Endpoint::try_from(socket.clone()).unwrap().connect().await {
            return EngineServiceClient::new(channel);
        }
        assert!(Instant::now() < deadline, "the engine does not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Sends a request as it is and returns the answer whole.
fn ask(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(CEILING)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        Ok(_) => {}
        // A server that refuses does not read the rest.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    answer
}

#[tokio::test]
async fn figures_are_shown_to_a_get_and_nothing_else_is() {
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("engine");
    let at = free_address();
    let _program = start(&state, at);
    client(&state)
        .await
        .get_identity(pb::GetIdentityRequest {})
        .await
        .unwrap();
    let page = ask(at, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    for line in [
        "# TYPE cvlan_engine_rx_packets_total counter",
        "cvlan_engine_tx_dropped_filter_total 0",
        "cvlan_engine_peers 0",
        "cvlan_engine_spans_dropped_total 0",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line}\n{page}");
    }
    assert!(page.contains("process_resident_memory_bytes "), "{page}");
    for (request, status) in [
        ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", "405"),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let answer = ask(at, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
    }
    let long = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    assert!(!ask(at, &long).starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn who_says_nothing_is_cut_and_an_address_that_is_taken_stops_no_packets() {
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("engine");
    let at = free_address();
    let _program = start(&state, at);
    client(&state).await;
    let silent: Vec<TcpStream> = (0..20).filter_map(|_| TcpStream::connect(at).ok()).collect();
    // All places are taken until their time is over.
    assert!(ask(at, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").starts_with("HTTP/1.1 200"));
    drop(silent);
    let other = folder.path().join("other");
    let _other = start(&other, at);
    let status = client(&other).await.get_status(pb::GetStatusRequest::default()).await;
    assert!(status.is_ok());
}

#[tokio::test]
async fn calls_of_a_trace_that_is_recorded_become_spans_and_others_do_not() {
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("engine");
    let _program = start(&state, free_address());
    let mut client = client(&state).await;
    let mut watch = client.watch(pb::WatchRequest::default()).await.unwrap().into_inner();
    while !matches!(watch.message().await.unwrap().unwrap().item, Some(Item::Status(_))) {}

    for trace in [NOT_SAMPLED, "nonsense", SAMPLED] {
        let mut request = Request::new(pb::GetIdentityRequest {});
        request.metadata_mut().insert("traceparent", trace.parse().unwrap());
        client.get_identity(request).await.unwrap();
    }
    let mut request = Request::new(pb::ApplyRequest {
        generation: 1,
        settings: Some(pb::Settings::default()),
        ..pb::ApplyRequest::default()
    });
    request.metadata_mut().insert("traceparent", SAMPLED.parse().unwrap());
    let refused = client.apply(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    let mut spans = Vec::new();
    while spans.len() < 2 {
        let next = tokio::time::timeout(CEILING, watch.message())
            .await
            .expect("spans come");
        if let Some(Item::Span(span)) = next.unwrap().unwrap().item {
            spans.push(span);
        }
    }
    let told: Vec<_> = spans
        .iter()
        .map(|span| (span.name.as_str(), span.error.as_str()))
        .collect();
    assert_eq!(told, [("engine.GetIdentity", ""), ("engine.Apply", "BAD_FIELD")]);
    for span in spans {
        assert_eq!(span.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
        assert_eq!(span.span_id.len(), 8);
        assert!(span.started_at.is_some() && span.ended_at.is_some());
    }
}
