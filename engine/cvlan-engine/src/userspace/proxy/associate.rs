//! UDP ASSOCIATE: datagrams of one client, as long as its TCP connection stands.

use super::socks::{self, Reply};
use crate::counters::add;
use crate::userspace::net::{Net, UdpPort};
use cvlan_wire::Protocol;
use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UdpSocket};

/// Destinations whose answers are let through.
const MAX_DESTINATIONS: usize = 256;
/// Longest datagram with its SOCKS header, bytes.
const ROOM: usize = 9216;

/// Relays until the client closes its connection.
pub async fn serve(net: &Net, mut client: TcpStream) -> io::Result<()> {
    let socket = UdpSocket::bind(SocketAddr::new(client.local_addr()?.ip(), 0)).await?;
    let Some(port) = net.bind_udp(0) else {
        return socks::answer(&mut client, Reply::GeneralFailure, None).await;
    };
    socks::answer(&mut client, Reply::Succeeded, Some(socket.local_addr()?)).await?;
    let mut association = Association {
        net,
        port,
        host: client.peer_addr()?,
        client: None,
        destinations: HashSet::new(),
    };
    let (mut room, mut rest) = ([0; ROOM], [0; 64]);
    loop {
        tokio::select! {
            // Nothing more is said on the connection; its end is the end.
            read = client.read(&mut rest) => if read? == 0 { return Ok(()) },
            received = socket.recv_from(&mut room) => {
                let (length, from) = received?;
                association.outward(from, room.get(..length).unwrap_or_default());
            }
            datagram = association.port.receive() => {
                if let Some(to) = association.client.filter(|_| association.destinations.contains(&datagram.remote)) {
                    let bytes = socks::write_datagram(datagram.remote, &datagram.payload);
                    // A client that is gone closes its connection.
                    let _ = socket.send_to(&bytes, to).await;
                }
            }
        }
    }
}

struct Association<'a> {
    net: &'a Net,
    port: UdpPort,
    /// The client's address on its TCP connection.
    host: SocketAddr,
    /// Where its first datagram came from; others are not listened to.
    client: Option<SocketAddr>,
    destinations: HashSet<SocketAddr>,
}

impl Association<'_> {
    fn outward(&mut self, from: SocketAddr, bytes: &[u8]) {
        let counters = self.net.counters();
        if from.ip() != self.host.ip() || self.client.is_some_and(|client| client != from) {
            add(&counters.proxy_refused_malformed, 1);
            return;
        }
        let Some((host, port, payload)) = socks::read_datagram(bytes) else {
            add(&counters.proxy_refused_malformed, 1);
            return;
        };
        self.client = Some(from);
        match self.net.route(&host, port, Protocol::UDP) {
            Ok(route) => {
                if self.destinations.len() >= MAX_DESTINATIONS {
                    self.destinations.clear();
                }
                self.destinations.insert(route.remote);
                // As lost as one that the network drops.
                let _ = self.port.send(route.local, route.remote, payload);
            }
            Err(refused) => counters.refused(refused),
        }
    }
}
