//! Connections of this host's programs (RFC 7766): few, short, and the oldest gives way.

use super::serve::Event;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const MAX_CONNECTIONS: usize = 32;
/// Answers that wait until their asker reads.
const MAX_ANSWERS: usize = 16;
/// How long a connection may say nothing, or not take an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The open ones.
#[derive(Default)]
pub struct Connections {
    open: BTreeMap<u64, Connection>,
    next: u64,
}

struct Connection {
    answers: mpsc::Sender<Vec<u8>>,
    /// Both directions end with it.
    _tasks: JoinSet<()>,
}

impl Connections {
    /// Reads queries until the other end closes, or says nothing for too long.
    pub fn open(&mut self, stream: TcpStream, events: &mpsc::Sender<Event>) {
        let number = self.next;
        self.next += 1;
        if self.open.len() >= MAX_CONNECTIONS {
            self.open.pop_first();
        }
        let (answers, outbox) = mpsc::channel(MAX_ANSWERS);
        let (incoming, outgoing) = stream.into_split();
        let mut tasks = JoinSet::new();
        tasks.spawn(read(number, incoming, events.clone()));
        tasks.spawn(write(number, outgoing, outbox, events.clone()));
        self.open.insert(number, Connection { answers, _tasks: tasks });
    }

    /// Sends an answer; who does not read the former ones is cut off.
    pub fn send(&mut self, number: u64, bytes: Vec<u8>) {
        let full = self
            .open
            .get(&number)
            .is_some_and(|open| open.answers.try_send(bytes).is_err());
        if full {
            self.close(number);
        }
    }

    /// Cuts it off.
    pub fn close(&mut self, number: u64) {
        self.open.remove(&number);
    }
}

async fn read(connection: u64, mut stream: OwnedReadHalf, events: mpsc::Sender<Event>) {
    while let Ok(Ok(bytes)) = tokio::time::timeout(PATIENCE, message(&mut stream)).await {
        if events.send(Event::Query { connection, bytes }).await.is_err() {
            return;
        }
    }
    // The thread is ending when nobody hears it.
    let _ = events.send(Event::Closed { connection }).await;
}

async fn message(stream: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn write(
    connection: u64,
    mut stream: OwnedWriteHalf,
    mut outbox: mpsc::Receiver<Vec<u8>>,
    events: mpsc::Sender<Event>,
) {
    while let Some(bytes) = outbox.recv().await {
        let framed = frame(&bytes);
        if !matches!(
            tokio::time::timeout(PATIENCE, stream.write_all(&framed)).await,
            Ok(Ok(()))
        ) {
            // The thread is ending when nobody hears it.
            let _ = events.send(Event::Closed { connection }).await;
            return;
        }
    }
}

/// A message with its length before it, in one piece.
pub fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), bytes].concat()
}
