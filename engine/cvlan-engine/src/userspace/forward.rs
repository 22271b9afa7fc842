//! Port forwards: from a port of the host into the overlay, and from a port of the overlay to the host.

use super::access::Host;
use super::config::{Direction, Forward, Protocol};
use super::net::{Listener, Net, UdpPort};
use super::proxy::{RESPITE, accepted, carry};
use crate::counters::add;
use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Connections of one forward.
const MAX_CONNECTIONS: usize = 256;
/// Conversations of one UDP forward.
const MAX_CONVERSATIONS: usize = 256;
/// After so long without a datagram a conversation is over.
const UDP_IDLE: Duration = Duration::from_secs(60);
/// How long a port of the host may take to answer.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest datagram.
const ROOM: usize = 9216;

/// TCP from the host into the overlay, until dropped.
pub async fn tcp_into(net: Net, listener: TcpListener, host: Host, port: u16) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Some(mut client) = accepted(&listener).await else {
            continue;
        };
        if connections.len() >= MAX_CONNECTIONS {
            add(&net.counters().forward_refused, 1);
            continue;
        }
        let (net, host) = (net.clone(), host.clone());
        connections.spawn_local(async move {
            match net.connect(&host, port).await {
                Ok(mut stream) => {
                    add(&net.counters().forward_connections, 1);
                    // Both sides see how it ends.
                    let _ = carry(&mut client, &mut stream).await;
                }
                Err(refused) => {
                    tracing::debug!(%refused, "forward");
                    add(&net.counters().forward_refused, 1);
                    reset(client);
                }
            }
        });
    }
}

/// A client of a destination that refuses should see a refusal, not an end.
fn reset(client: TcpStream) {
    if let Err(error) = client.set_zero_linger() {
        tracing::debug!(%error, "a client is not reset");
    }
}

/// TCP from the overlay to the host, until dropped.
pub async fn tcp_from(net: Net, listener: Listener, target: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let mut stream = listener.accept().await;
        if connections.len() >= MAX_CONNECTIONS {
            add(&net.counters().forward_refused, 1);
            continue;
        }
        let net = net.clone();
        connections.spawn_local(async move {
            match timeout(CONNECT, TcpStream::connect(target)).await {
                Ok(Ok(mut server)) => {
                    add(&net.counters().forward_connections, 1);
                    // Both sides see how it ends.
                    let _ = carry(&mut server, &mut stream).await;
                }
                // The stream is cut when it is dropped.
                Ok(Err(_)) | Err(_) => add(&net.counters().forward_refused, 1),
            }
        });
    }
}

/// Datagrams of one client; over when nothing came for a while.
struct Conversation<T> {
    out: T,
    last: Cell<Instant>,
}

impl<T> Conversation<T> {
    fn new(out: T) -> Rc<Self> {
        let last = Cell::new(Instant::now());
        Rc::new(Self { out, last })
    }

    fn touch(&self) {
        self.last.set(Instant::now());
    }

    /// Returns when it is over.
    async fn idle(&self) {
        loop {
            let until = self.last.get() + UDP_IDLE;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// The conversations of a forward, by client; those that ended make room.
struct Conversations<T> {
    by_client: HashMap<SocketAddr, Rc<Conversation<T>>>,
    tasks: JoinSet<SocketAddr>,
}

impl<T> Conversations<T> {
    fn new() -> Self {
        Self {
            by_client: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    fn get(&mut self, client: SocketAddr) -> Option<Rc<Conversation<T>>> {
        while let Some(ended) = self.tasks.try_join_next() {
            // None of these tasks is aborted, and none panics.
            if let Ok(client) = ended {
                self.by_client.remove(&client);
            }
        }
        self.by_client.get(&client).cloned()
    }

    fn is_full(&self) -> bool {
        self.by_client.len() >= MAX_CONVERSATIONS
    }
}

/// UDP from the host into the overlay, until dropped.
pub async fn udp_into(net: Net, socket: UdpSocket, host: Host, port: u16) {
    let socket = Rc::new(socket);
    let mut conversations: Conversations<UdpPort> = Conversations::new();
    let mut room = [0; ROOM];
    loop {
        let (length, client) = match socket.recv_from(&mut room).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "no datagram received");
                sleep(RESPITE).await;
                continue;
            }
        };
        let route = match net.route(&host, port, cvlan_wire::Protocol::UDP) {
            Ok(route) => route,
            Err(refused) => {
                tracing::debug!(%refused, "forward");
                add(&net.counters().forward_refused, 1);
                continue;
            }
        };
        let conversation = match conversations.get(client) {
            Some(conversation) => conversation,
            None => {
                let Some(out) = net.bind_udp(0).filter(|_| !conversations.is_full()) else {
                    add(&net.counters().forward_refused, 1);
                    continue;
                };
                add(&net.counters().forward_connections, 1);
                let conversation = Conversation::new(out);
                conversations.by_client.insert(client, conversation.clone());
                let (socket, answers) = (socket.clone(), conversation.clone());
                conversations.tasks.spawn_local(async move {
                    let answer = async {
                        loop {
                            let datagram = answers.out.receive().await;
                            if datagram.remote == route.remote {
                                answers.touch();
                                // As lost as one that the network drops.
                                let _ = socket.send_to(&datagram.payload, client).await;
                            }
                        }
                    };
                    tokio::select! { () = answer => {}, () = answers.idle() => {} }
                    client
                });
                conversation
            }
        };
        conversation.touch();
        // As lost as one that the network drops.
        let _ = conversation
            .out
            .send(route.local, route.remote, room.get(..length).unwrap_or_default());
    }
}

/// UDP from the overlay to the host, until dropped.
pub async fn udp_from(net: Net, port: UdpPort, target: SocketAddr) {
    let port = Rc::new(port);
    let mut conversations: Conversations<UdpSocket> = Conversations::new();
    loop {
        let datagram = port.receive().await;
        let conversation = match conversations.get(datagram.remote) {
            Some(conversation) => conversation,
            None => {
                let out = if conversations.is_full() {
                    None
                } else {
                    connected(target).await.ok()
                };
                let Some(out) = out else {
                    add(&net.counters().forward_refused, 1);
                    continue;
                };
                add(&net.counters().forward_connections, 1);
                let conversation = Conversation::new(out);
                conversations.by_client.insert(datagram.remote, conversation.clone());
                let (port, answers) = (port.clone(), conversation.clone());
                let (local, client) = (datagram.local, datagram.remote);
                conversations.tasks.spawn_local(async move {
                    let answer = answer_from(&answers, &port, local, client);
                    tokio::select! { () = answer => {}, () = answers.idle() => {} }
                    client
                });
                conversation
            }
        };
        conversation.touch();
        // Nobody listens there, or not fast enough: as lost as one that the network drops.
        let _ = conversation.out.send(&datagram.payload).await;
    }
}

async fn answer_from(answers: &Conversation<UdpSocket>, port: &UdpPort, local: IpAddr, client: SocketAddr) {
    let mut room = [0; ROOM];
    loop {
        // An error is one of the datagram before: nobody listened. The next may fare better.
        match answers.out.recv(&mut room).await {
            Ok(length) => {
                answers.touch();
                // As lost as one that the network drops.
                let _ = port.send(local, client, room.get(..length).unwrap_or_default());
            }
            Err(_) => sleep(RESPITE).await,
        }
    }
}

async fn connected(target: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(target).await?;
    Ok(socket)
}

impl Forward {
    /// True when it listens on the host.
    pub fn listens_on_host(&self) -> bool {
        self.direction == Direction::IntoOverlay
    }

    /// True when it carries UDP.
    pub fn is_udp(&self) -> bool {
        self.protocol == Protocol::Udp
    }
}
