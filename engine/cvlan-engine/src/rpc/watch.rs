//! Watch: where things stand, then what changes.

use super::Answers;
use crate::engine::Engine;
use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use pb::watch_response::Item;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Wait between two looks at the status.
const INTERVAL: Duration = Duration::from_secs(1);
/// Answers that a reader may be behind; then it is waited for, and when events pile up it is cut.
const AHEAD: usize = 64;

type Sender = mpsc::Sender<Result<pb::WatchResponse, Status>>;

/// The stream of one watcher.
pub fn stream(engine: Arc<Engine>, request: pb::WatchRequest) -> Answers<pb::WatchResponse> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        // The watcher went away, which ends the stream and is no error.
        let _ = feed(&engine, request, &sender).await;
    });
    Box::pin(ReceiverStream::new(receiver))
}

/// `None`: nobody listens any more.
async fn feed(engine: &Arc<Engine>, request: pb::WatchRequest, sender: &Sender) -> Option<()> {
    let mut events = engine.events().watch();
    let mut spans = engine.spans.watch();
    let mut stopping = engine.stopping();
    let mut last = status_of(engine).await?;
    let opened = pb::Opened {
        instance_id: last.instance_id.clone(),
        generation: last.generation,
    };
    send(sender, Item::Opened(opened)).await?;
    send(sender, Item::Status(told(&last, request))).await?;
    let mut looks = interval_at(Instant::now() + INTERVAL, INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = sender.closed() => return None,
            () = async { drop(stopping.wait_for(|stopping| *stopping).await) } => return None,
            event = events.recv() => match event {
                Ok(event) => send(sender, Item::Event(event)).await?,
                Err(RecvError::Closed) => return None,
                Err(RecvError::Lagged(missed)) => {
                    let text = format!("the watcher missed {missed} events: watch again");
                    return sender.send(Err(Status::resource_exhausted(text))).await.ok();
                }
            },
            span = spans.recv() => match span {
                Ok(span) => send(sender, Item::Span(span)).await?,
                Err(RecvError::Closed) => return None,
                Err(RecvError::Lagged(missed)) => engine.spans.missed(missed),
            },
            _ = looks.tick() => {
                let status = status_of(engine).await?;
                if status != last {
                    last = status;
                    send(sender, Item::Status(told(&last, request))).await?;
                }
            }
        }
    }
}

/// What a watcher gets of a status.
fn told(status: &pb::EngineStatus, request: pb::WatchRequest) -> pb::EngineStatus {
    let mut told = status.clone();
    if request.without_peers {
        told.peers.clear();
        told.rules.clear();
    }
    told
}

async fn status_of(engine: &Arc<Engine>) -> Option<pb::EngineStatus> {
    let engine = engine.clone();
    tokio::task::spawn_blocking(move || engine.status()).await.ok()
}

async fn send(sender: &Sender, item: Item) -> Option<()> {
    sender.send(Ok(pb::WatchResponse { item: Some(item) })).await.ok()
}
