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

/// Wait between two looks at the status; what is declared is told at once.
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
    let mut declared = engine.declared();
    let mut last = status_of(engine, request).await?;
    let opened = pb::Opened {
        instance_id: last.0.instance_id.clone(),
        generation: last.0.generation,
    };
    send(sender, Item::Opened(opened)).await?;
    send(sender, Item::Status(last.0.clone())).await?;
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
            _ = looks.tick() => look(engine, request, &mut last, sender).await?,
            Ok(()) = declared.changed() => look(engine, request, &mut last, sender).await?,
        }
    }
}

/// A status as the watcher gets it, and a digest of what is left out.
type Told = (pb::EngineStatus, u64);

/// Tells the status when it is another.
async fn look(engine: &Arc<Engine>, request: pb::WatchRequest, last: &mut Told, sender: &Sender) -> Option<()> {
    let now = status_of(engine, request).await?;
    if now != *last {
        *last = now;
        send(sender, Item::Status(last.0.clone())).await?;
    }
    Some(())
}

async fn status_of(engine: &Arc<Engine>, request: pb::WatchRequest) -> Option<Told> {
    let engine = engine.clone();
    let read = move || match request.without_peers {
        true => engine.brief_status(),
        false => (engine.status(), 0),
    };
    tokio::task::spawn_blocking(read).await.ok()
}

async fn send(sender: &Sender, item: Item) -> Option<()> {
    sender.send(Ok(pb::WatchResponse { item: Some(item) })).await.ok()
}
