//! Ping: ICMP echo by the engine itself, judged like any packet.

use super::Answers;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::forward::{Injector, Shared};
use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use cvlan_wire::prefix::address_from_bytes;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};
use tokio_stream::wrappers::ReceiverStream;

/// Pings of one process share an identifier, so no two may have one sequence.
static SEQUENCE: AtomicU16 = AtomicU16::new(0);

/// A checked request.
struct Plan {
    from: IpAddr,
    to: IpAddr,
    count: u32,
    interval: Duration,
    timeout: Duration,
    shared: Arc<Shared>,
    injector: Injector,
}

/// Sends as asked and tells each answer as it comes, or that none came.
///
/// # Errors
/// Names the field, or what is missing.
pub fn stream(engine: &Arc<Engine>, request: &pb::PingRequest) -> Result<Answers<pb::PingResponse>, Failure> {
    let plan = plan(engine, request)?;
    let (sender, receiver) = mpsc::channel(usize::try_from(plan.count).unwrap_or(1));
    tokio::spawn(run(plan, sender));
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

async fn run(plan: Plan, sender: mpsc::Sender<Result<pb::PingResponse, tonic::Status>>) {
    let mut ticks = interval(plan.interval);
    for sequence in 1..=plan.count {
        tokio::select! {
            () = sender.closed() => return,
            _ = ticks.tick() => {}
        }
        let identity = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        let sent_at = Instant::now();
        let request = plan.shared.echo.request(plan.from, plan.to, identity);
        let answer = request.and_then(|(packet, answer)| plan.injector.inject(packet).then_some(answer));
        let (sender, limit) = (sender.clone(), plan.timeout);
        tokio::spawn(async move {
            let mut response = pb::PingResponse {
                sequence,
                ..pb::PingResponse::default()
            };
            match answer {
                None => response.error = "the engine is busy or stopping: try again".to_owned(),
                Some(answer) => {
                    let answered = timeout(limit, answer).await.ok().and_then(Result::ok);
                    response.rtt_us = answered
                        .map(|at| u64::try_from(at.saturating_duration_since(sent_at).as_micros()).unwrap_or(u64::MAX));
                }
            }
            // The caller went away.
            let _ = sender.send(Ok(response)).await;
        });
    }
}

fn plan(engine: &Engine, request: &pb::PingRequest) -> Result<Plan, Failure> {
    let to = address_from_bytes(&request.destination)
        .map_err(|_| Failure::field("destination", "it is no address", "send 4 or 16 bytes"))?;
    let count = within("count", request.count, 4, 1..=100)?;
    let interval = within("interval_ms", request.interval_ms, 1000, 10..=10_000)?;
    let timeout = within("timeout_ms", request.timeout_ms, 5000, 10..=60_000)?;
    let (shared, injector) = engine.data_path().ok_or_else(|| {
        Failure::precondition(
            "NOT_FORWARDING",
            "the engine has no settings yet",
            "join a cvlan, or start the daemon",
        )
    })?;
    let snapshot = shared.snapshot();
    let own = snapshot.map.as_ref().and_then(|map| map.own.clone());
    let from = own.and_then(|own| {
        own.addresses
            .iter()
            .find(|address| address.is_ipv4() == to.is_ipv4())
            .copied()
    });
    let from = from.ok_or_else(|| {
        let remedy = "wait for the map, or use an address of the other family";
        Failure::precondition("NO_ADDRESS", "this node has no overlay address of that family", remedy)
    })?;
    let millis = |value: u32| Duration::from_millis(value.into());
    Ok(Plan {
        from,
        to,
        count,
        interval: millis(interval),
        timeout: millis(timeout),
        shared,
        injector,
    })
}

fn within(field: &'static str, value: u32, default: u32, range: RangeInclusive<u32>) -> Result<u32, Failure> {
    match value {
        0 => Ok(default),
        value if range.contains(&value) => Ok(value),
        _ => {
            let remedy = format!("use {} to {}, or 0 for {default}", range.start(), range.end());
            Err(Failure::field(field, "it is out of range", remedy))
        }
    }
}
