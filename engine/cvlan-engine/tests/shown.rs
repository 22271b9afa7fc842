//! What `wg` finds of a managed interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use cloudvlan_gen::cloudvlan::entity::v1::{PolicyAction, PolicyProtocol};
use common::{CEILING, pair};
use cvlan_testkit::rule;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What the engine says on its socket; none while nobody or somebody else answers there.
fn told(socket: &Path) -> Option<Vec<String>> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    stream.write_all(b"get=1\n\n").ok()?;
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    lines.last().filter(|line| *line == "errno=0")?;
    Some(lines)
}

fn shown_within_the_ceiling(socket: &Path) -> Vec<String> {
    let deadline = Instant::now() + CEILING;
    loop {
        if let Some(lines) = told(socket) {
            return lines;
        }
        assert!(Instant::now() < deadline, "it is never shown");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_interface_whose_socket_was_taken_is_shown_once_it_is_free() {
    let (_tenant, a, b) = pair(&[rule(1, PolicyAction::Allow, PolicyProtocol::Udp)]);
    let folder = TempDir::new().unwrap();
    let socket = |number: u8| folder.path().join(format!("cvt{number}.sock"));
    let taken = UnixListener::bind(socket(1)).unwrap();
    let engines = [a.engine.clone(), b.engine.clone()];
    let path = folder.path().to_owned();
    // Ends with the process.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let [a, b] = engines.map(|engine| cvlan_engine::shown::follow(engine, path.clone()));
        runtime.block_on(async { tokio::join!(a, b) });
    });
    let of_b = shown_within_the_ceiling(&socket(2));
    assert!(of_b.iter().any(|line| line.starts_with("public_key=")), "{of_b:?}");
    assert!(of_b.iter().all(|line| !line.starts_with("private_key=")), "{of_b:?}");
    // The first look at either was at the same time.
    assert_eq!(told(&socket(1)), None);
    drop(taken);
    let of_a = shown_within_the_ceiling(&socket(1));
    assert!(of_a.iter().any(|line| line.starts_with("public_key=")), "{of_a:?}");
}
