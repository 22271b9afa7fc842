//! The figures of the engine for Prometheus: plain HTTP, `GET /metrics` and nothing else.

use crate::engine::Engine;
use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::fmt::Write;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Scrapers at once; a scraper needs one.
const MAX_CONNECTIONS: usize = 8;
/// Time that one of them has for its request and for taking the answer.
const CONNECTION_TIME: Duration = Duration::from_secs(5);
/// Bytes of a request.
const MAX_REQUEST: usize = 8_192;
/// Peers up to which each has figures of its own.
const MAX_PEERS_SHOWN: usize = 200;
/// Rules that have figures: those that decided about most.
const MAX_RULES_SHOWN: usize = 200;
/// Ages of handshakes by which peers are counted, seconds: rekeyed, expired, long gone.
const HANDSHAKE_AGES: [u64; 4] = [120, 180, 3_600, 86_400];
/// Text format of Prometheus.
const FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Reads `ADDRESS:PORT`, or a port alone, which is one of the loopback address.
///
/// # Errors
/// Says what it should look like.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let alone = |_| {
        let port = text.parse().map_err(|_| "write ADDRESS:PORT, or PORT for 127.0.0.1")?;
        Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    };
    text.parse().or_else(alone)
}

/// A listener for [`serve`].
///
/// # Errors
/// When the address cannot be had.
pub fn listen(at: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(at)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves until the process ends.
///
/// # Errors
/// When the listener cannot be watched.
pub fn serve(engine: Arc<Engine>, listener: std::net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    tokio::spawn(async move {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            // Out of file descriptors, for one: the next try must not come at once.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let engine = engine.clone();
            tokio::spawn(async move {
                let answering = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .keep_alive(false)
                    .max_buf_size(MAX_REQUEST)
                    .serve_connection(TokioIo::new(stream), service_fn(|request| answer(&engine, request)));
                // Whatever went wrong, the scraper knows it and tries again.
                let _ = timeout(CONNECTION_TIME, answering).await;
                drop(place);
            });
        }
    });
    Ok(())
}

async fn answer(engine: &Arc<Engine>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let refused = |status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    };
    if request.uri().path() != "/metrics" {
        return Ok(refused(StatusCode::NOT_FOUND));
    }
    if request.method() != Method::GET {
        return Ok(refused(StatusCode::METHOD_NOT_ALLOWED));
    }
    let engine = engine.clone();
    let Ok(status) = tokio::task::spawn_blocking(move || engine.status()).await else {
        return Ok(refused(StatusCode::INTERNAL_SERVER_ERROR));
    };
    let mut response = Response::new(Full::new(Bytes::from(text(
        &status,
        SystemTime::now(),
        resident_bytes(),
    ))));
    response.headers_mut().insert(CONTENT_TYPE, FORMAT);
    Ok(response)
}

/// Memory of this process that is in RAM; `None` where the kernel does not say.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The text of one scrape.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample<'a>(
        &mut self,
        name: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        value: impl std::fmt::Display,
    ) {
        let labels: Vec<String> = labels
            .into_iter()
            .map(|(label, of)| format!("{label}=\"{}\"", escaped(of)))
            .collect();
        let _ = match labels.as_slice() {
            [] => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{}}} {value}", labels.join(",")),
        };
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, "gauge", help);
        self.sample(name, None, value);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn text(status: &pb::EngineStatus, now: SystemTime, resident: Option<u64>) -> String {
    let mut page = Page(String::new());
    page.head("cvlan_engine_info", "gauge", "1, with the version of the engine");
    page.sample("cvlan_engine_info", Some(("version", env!("CARGO_PKG_VERSION"))), 1);
    if let Some(bytes) = resident {
        let help = "Memory of the process that is in RAM";
        page.gauge("process_resident_memory_bytes", help, bytes);
    }
    for (counter, value) in &status.counters {
        let name = format!("cvlan_engine_{counter}_total");
        page.head(&name, "counter", "A counter of the engine, see docs/observability.md");
        page.sample(&name, None, value);
    }
    if let Some(map) = &status.map {
        let help = "Revision of the map in force";
        page.gauge("cvlan_engine_map_revision", help, map.revision);
        let help = "1 while the map is past its validity";
        page.gauge("cvlan_engine_map_stale", help, u8::from(map.stale));
        if let Some(age) = map.head_issued_at.and_then(|issued| age(issued, now)) {
            let help = "Time since the head of the map in force was signed";
            page.gauge("cvlan_engine_map_age_seconds", help, age);
        }
    }
    page.gauge("cvlan_engine_peers", "Peers in the map", status.peers.len());
    handshakes(&mut page, &status.peers, now);
    if status.peers.len() <= MAX_PEERS_SHOWN {
        bytes_of_peers(&mut page, &status.peers);
    }
    decided_by_rules(&mut page, status.rules.get(..MAX_RULES_SHOWN).unwrap_or(&status.rules));
    page.0
}

fn age(since: prost_types::Timestamp, now: SystemTime) -> Option<u64> {
    let since = SystemTime::try_from(since).ok()?;
    Some(now.duration_since(since).unwrap_or_default().as_secs())
}

fn handshakes(page: &mut Page, peers: &[pb::PeerStatus], now: SystemTime) {
    let name = "cvlan_engine_peers_by_handshake";
    page.head(
        name,
        "gauge",
        "Peers whose last handshake is at most so many seconds old; +Inf: that ever had one",
    );
    let ages: Vec<u64> = peers
        .iter()
        .filter_map(|peer| age(peer.latest_handshake_at?, now))
        .collect();
    for bound in HANDSHAKE_AGES {
        let count = ages.iter().filter(|age| **age <= bound).count();
        page.sample(name, Some(("at_most", bound.to_string().as_str())), count);
    }
    page.sample(name, Some(("at_most", "+Inf")), ages.len());
}

fn bytes_of_peers(page: &mut Page, peers: &[pb::PeerStatus]) {
    type Read = fn(&pb::PeerStatus) -> u64;
    let directions: [(&str, &str, Read); 2] = [
        (
            "cvlan_engine_peer_received_bytes_total",
            "Sealed bytes that came from a peer",
            |peer| peer.bytes_received,
        ),
        (
            "cvlan_engine_peer_sent_bytes_total",
            "Sealed bytes that were sent to a peer",
            |peer| peer.bytes_sent,
        ),
    ];
    for (name, help, read) in directions {
        page.head(name, "counter", help);
        for peer in peers {
            page.sample(name, Some(("peer", peer.name.as_str())), read(peer));
        }
    }
}

fn decided_by_rules(page: &mut Page, rules: &[pb::RuleStatus]) {
    type Read = fn(&pb::RuleStatus) -> u64;
    let figures: [(&str, &str, Read); 2] = [
        (
            "cvlan_engine_rule_packets_total",
            "Packets that a rule decided about, allowed or denied, those of its flows too",
            |rule| rule.packets,
        ),
        ("cvlan_engine_rule_bytes_total", "Bytes of these", |rule| rule.bytes),
    ];
    for (name, help, read) in figures {
        page.head(name, "counter", help);
        for rule in rules {
            let id: String = rule.rule_id.iter().map(|byte| format!("{byte:02x}")).collect();
            page.sample(name, [("rule", id.as_str()), ("name", rule.name.as_str())], read(rule));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{MAX_PEERS_SHOWN, MAX_RULES_SHOWN, address, text};
    use cloudvlan_gen::cloudvlan::engine::v1 as pb;
    use std::time::{Duration, SystemTime};

    fn peer(name: &str, handshake: Option<SystemTime>) -> pb::PeerStatus {
        pb::PeerStatus {
            name: name.to_owned(),
            latest_handshake_at: handshake.map(Into::into),
            bytes_received: 7,
            ..pb::PeerStatus::default()
        }
    }

    #[test]
    fn an_address_is_loopback_unless_it_says_otherwise() {
        assert_eq!(address("9101").unwrap().to_string(), "127.0.0.1:9101");
        assert_eq!(address("[::1]:9101").unwrap().to_string(), "[::1]:9101");
        for wrong in ["", "localhost:1", "127.0.0.1", "70000"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn counts_peers_by_the_age_of_their_handshake() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let ago = |seconds| Some(now - Duration::from_secs(seconds));
        let peers = vec![peer("a", ago(10)), peer("b\"\\", ago(200)), peer("c", None)];
        let status = pb::EngineStatus {
            peers,
            ..pb::EngineStatus::default()
        };
        let page = text(&status, now, None);
        for line in [
            "cvlan_engine_peers 3",
            "cvlan_engine_peers_by_handshake{at_most=\"120\"} 1",
            "cvlan_engine_peers_by_handshake{at_most=\"3600\"} 2",
            "cvlan_engine_peers_by_handshake{at_most=\"+Inf\"} 2",
            "cvlan_engine_peer_received_bytes_total{peer=\"b\\\"\\\\\"} 7",
        ] {
            assert!(page.lines().any(|shown| shown == line), "{line}\n{page}");
        }
    }

    #[test]
    fn shows_the_rules_that_decided_most() {
        let rule = |number: u8, packets| pb::RuleStatus {
            rule_id: vec![number; 16],
            name: format!("rule\"{number}"),
            packets,
            bytes: packets * 100,
        };
        let status = pb::EngineStatus {
            rules: (0..=200).map(|number| rule(number, 1000 - u64::from(number))).collect(),
            ..pb::EngineStatus::default()
        };
        let page = text(&status, SystemTime::now(), None);
        let id = "07".repeat(16);
        let line = format!("cvlan_engine_rule_bytes_total{{rule=\"{id}\",name=\"rule\\\"7\"}} 99300");
        assert!(page.lines().any(|shown| shown == line), "{line}\n{page}");
        assert_eq!(
            page.matches("cvlan_engine_rule_packets_total{").count(),
            MAX_RULES_SHOWN
        );
        assert!(!page.contains("rule\\\"200"));
    }

    #[test]
    fn shows_no_single_peer_where_there_are_many() {
        let many = pb::EngineStatus {
            peers: (0..=MAX_PEERS_SHOWN).map(|n| peer(&n.to_string(), None)).collect(),
            ..pb::EngineStatus::default()
        };
        assert!(!text(&many, SystemTime::now(), None).contains("peer="));
    }
}
