//! `cvlan-lab capture`.

use crate::decode::{Decoded, decode};
use crate::stop::stop_flag;
use cvlan_io::{Capture, Captured, wait_readable};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// Longest wait before a signal that came between two system calls is noticed.
const NOTICE: Duration = Duration::from_millis(100);
/// Bytes of the payload that are shown.
const HEAD: usize = 64;
/// Offloads hand over frames of up to 64 KiB.
const ROOM: usize = 1 << 16;

#[derive(clap::Args)]
pub struct Options {
    /// Interface, as this network namespace names it.
    #[arg(long)]
    interface: String,
    /// Stop after so many packets.
    #[arg(long)]
    count: Option<u64>,
    /// Stop after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
}

/// Captures until the count, the time, SIGTERM or SIGINT; each line is flushed, so that a reader may act on it.
///
/// # Errors
/// When the interface cannot be opened or the output not written.
pub fn run(options: &Options, out: &mut impl Write) -> io::Result<()> {
    let stop = stop_flag()?;
    let capture = Capture::open(&options.interface).map_err(|error| explain(&error, &options.interface))?;
    print(out, &json!({ "listening": options.interface }))?;
    let until = options
        .seconds
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut room = vec![0; ROOM];
    let (mut packets, mut wireguard) = (0, 0);
    while !stop.load(Ordering::Relaxed)
        && options.count.is_none_or(|count| packets < count)
        && until.is_none_or(|until| Instant::now() < until)
    {
        let Some(captured) = capture.read(&mut room)? else {
            wait_readable([capture.as_fd()], Some(NOTICE))?;
            continue;
        };
        let line = describe(captured, room.get(..captured.kept).unwrap_or_default());
        packets += 1;
        wireguard += u64::from(line.get("wg_type").is_some_and(Value::is_u64));
        print(out, &line)?;
    }
    print(
        out,
        &json!({ "summary": true, "packets": packets, "wireguard": wireguard }),
    )
}

fn print(out: &mut impl Write, line: &Value) -> io::Result<()> {
    writeln!(out, "{line}")?;
    out.flush()
}

fn describe(captured: Captured, frame: &[u8]) -> Value {
    let time = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let Decoded {
        source,
        destination,
        protocol,
        ports,
        payload,
    } = decode(captured.ethertype, frame);
    json!({
        "t_us": u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
        "ethertype": captured.ethertype,
        "src": source.map(|address| address.to_string()),
        "dst": destination.map(|address| address.to_string()),
        "proto": protocol,
        "sport": ports.map(|(source, _)| source),
        "dport": ports.map(|(_, destination)| destination),
        "len": captured.length,
        "wg_type": wireguard_type(protocol, payload),
        "payload_sha256": hex(&Sha256::digest(payload)),
        "head_hex": hex(payload.get(..HEAD).unwrap_or(payload)),
    })
}

/// Message type 1 to 4 of a UDP payload that has the form of a WireGuard message.
fn wireguard_type(protocol: Option<u8>, payload: &[u8]) -> Option<u8> {
    let kind = cvlan_wg::classify(payload).filter(|_| protocol == Some(17))?;
    Some(match kind {
        cvlan_wg::FrameKind::Initiation => 1,
        cvlan_wg::FrameKind::Response => 2,
        cvlan_wg::FrameKind::Cookie => 3,
        cvlan_wg::FrameKind::Data => 4,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn explain(error: &io::Error, interface: &str) -> io::Error {
    let text = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "needs CAP_NET_RAW: run as root or in a user namespace of your own".to_owned()
        }
        io::ErrorKind::NotFound => "no such interface in this network namespace".to_owned(),
        _ if error.raw_os_error() == Some(19) => "no such interface in this network namespace".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("interface {interface}: {text}"))
}
