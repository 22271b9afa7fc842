//! One question to one upstream, from a port of its own.

use super::connection::frame;
use super::serve::Event;
use cvlan_dns::{AskId, MAX_UDP, Transport};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;

/// How long a datagram is waited for: hosts give up after 5 s in all (resolv.conf(5)).
const UDP_PATIENCE: Duration = Duration::from_millis(1500);
const TCP_PATIENCE: Duration = Duration::from_secs(3);
/// Messages that are no answer, after which a port is given up.
const MAX_STRAYS: usize = 64;

/// Tells every message that comes from the upstream, until it is aborted or the time is over.
pub async fn run(ask: AskId, upstream: SocketAddr, transport: Transport, bytes: Vec<u8>, events: mpsc::Sender<Event>) {
    // Whatever keeps the answer from coming, the next upstream is the remedy.
    let _ = match transport {
        Transport::Udp => tokio::time::timeout(UDP_PATIENCE, by_datagram(ask, upstream, &bytes, &events)).await,
        Transport::Tcp => tokio::time::timeout(TCP_PATIENCE, by_connection(ask, upstream, &bytes, &events)).await,
    };
    // The thread is ending when nobody hears it.
    let _ = events.send(Event::Failed { ask }).await;
}

async fn by_datagram(ask: AskId, upstream: SocketAddr, bytes: &[u8], events: &mpsc::Sender<Event>) -> io::Result<()> {
    let any: IpAddr = match upstream {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Connected: the kernel drops what is not from there.
    socket.connect(upstream).await?;
    socket.send(bytes).await?;
    let mut room = vec![0; MAX_UDP];
    for _ in 0..MAX_STRAYS {
        let length = socket.recv(&mut room).await?;
        tell(ask, room.get(..length).unwrap_or_default().to_vec(), events).await?;
    }
    Ok(())
}

async fn by_connection(ask: AskId, upstream: SocketAddr, bytes: &[u8], events: &mpsc::Sender<Event>) -> io::Result<()> {
    let mut stream = TcpStream::connect(upstream).await?;
    stream.write_all(&frame(bytes)).await?;
    for _ in 0..MAX_STRAYS {
        let length = stream.read_u16().await?;
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await?;
        tell(ask, answer, events).await?;
    }
    Ok(())
}

async fn tell(ask: AskId, bytes: Vec<u8>, events: &mpsc::Sender<Event>) -> io::Result<()> {
    let told = events.send(Event::Answer { ask, bytes }).await;
    told.map_err(|_| io::ErrorKind::BrokenPipe.into())
}
