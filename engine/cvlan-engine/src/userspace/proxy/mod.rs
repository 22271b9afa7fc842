//! SOCKS 5 and HTTP on one port of the host, into the overlay.

mod associate;
mod http;
mod socks;

use super::net::Net;
use crate::counters::add;
use socks::{Command, Failed, Reply};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Clients at one time.
const MAX_CLIENTS: usize = 256;
/// How long a client may take until its request is whole.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Bytes on their way between two sockets, each direction.
const BUFFER: usize = 16 << 10;
/// Before another attempt when a socket says an error, for example that no descriptors are left.
pub const RESPITE: Duration = Duration::from_millis(100);

/// Serves clients until dropped; their connections end with it.
pub async fn serve(net: Net, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    let mut clients = JoinSet::new();
    loop {
        while clients.try_join_next().is_some() {}
        let Some(client) = accepted(&listener).await else {
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            add(&net.counters().proxy_refused_busy, 1);
            continue;
        };
        let net = net.clone();
        clients.spawn_local(async move {
            // A client that goes away or breaks the protocol is counted where it happens; it has no other consequence.
            let _ = serve_client(&net, client).await;
            drop(place);
        });
    }
}

/// The next client; `None` when there was none after all.
pub async fn accepted(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept().await {
        Ok((client, _)) => Some(client),
        Err(error) => {
            tracing::debug!(%error, "no connection accepted");
            sleep(RESPITE).await;
            None
        }
    }
}

async fn serve_client(net: &Net, client: TcpStream) -> io::Result<()> {
    // Requests are small and waited for.
    client.set_nodelay(true)?;
    let mut first = [0];
    let peeked = timeout(REQUEST_TIME, client.peek(&mut first))
        .await
        .map_err(io::Error::from)??;
    match first {
        _ if peeked == 0 => Ok(()),
        [socks::VERSION] => serve_socks(net, client).await,
        [byte] if byte.is_ascii_uppercase() => http::serve(net, client).await.map_err(io::Error::other),
        _ => {
            add(&net.counters().proxy_refused_malformed, 1);
            Ok(())
        }
    }
}

async fn serve_socks(net: &Net, mut client: TcpStream) -> io::Result<()> {
    let request = match timeout(REQUEST_TIME, socks::negotiate(&mut client)).await {
        Ok(Ok(request)) => request,
        Ok(Err(Failed::Io(error))) => return Err(error),
        Ok(Err(Failed::Malformed | Failed::Answered(_))) | Err(_) => {
            add(&net.counters().proxy_refused_malformed, 1);
            return Ok(());
        }
    };
    if request.command == Command::Associate {
        add(&net.counters().proxy_connections, 1);
        return associate::serve(net, client).await;
    }
    match net.connect(&request.host, request.port).await {
        Ok(mut stream) => {
            add(&net.counters().proxy_connections, 1);
            socks::answer(&mut client, Reply::Succeeded, stream.local()).await?;
            carry(&mut client, &mut stream).await
        }
        Err(refused) => {
            net.counters().refused(refused);
            socks::answer(&mut client, refused.into(), None).await
        }
    }
}

/// Carries bytes both ways until both sides ended.
pub async fn carry(
    one: &mut (impl AsyncRead + AsyncWrite + Unpin),
    other: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> io::Result<()> {
    copy_bidirectional_with_sizes(one, other, BUFFER, BUFFER)
        .await
        .map(drop)
}
