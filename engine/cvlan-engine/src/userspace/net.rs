//! The network stack as the tasks of its thread see it: streams, listeners and UDP ports to wait on.

use super::access::{self, Host, Refused, Route};
use super::port::Port;
use crate::counters::UserspaceCounters;
use crate::forward::{Shared, Snapshot};
use cvlan_netstack::{ConnectionId, Datagram, Limits, PortId, Read, SendError, Stack, Write};
use cvlan_wire::Protocol;
use rand_core::{OsRng, RngCore};
use std::cell::{RefCell, RefMut};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{sleep_until, timeout};

/// How long a destination may take to complete a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Packets that the stack reads before it may answer.
const TURN: usize = 32;

/// The stack and what surrounds it; cheap to clone, never held across an await.
#[derive(Clone)]
pub struct Net(Rc<Inner>);

struct Inner {
    stack: RefCell<Stack>,
    port: Arc<Port>,
    shared: Arc<Shared>,
    /// What addresses and connections were brought in line with.
    followed: RefCell<Option<Arc<Snapshot>>>,
}

impl Net {
    pub fn new(port: Arc<Port>, shared: Arc<Shared>, mtu: u16) -> Self {
        let stack = Stack::new(mtu, OsRng.next_u64(), Limits::default(), Instant::now());
        Self(Rc::new(Inner {
            stack: RefCell::new(stack),
            port,
            shared,
            followed: RefCell::default(),
        }))
    }

    pub fn set_mtu(&self, mtu: u16) {
        self.stack().set_mtu(mtu, OsRng.next_u64());
    }

    pub fn counters(&self) -> &UserspaceCounters {
        &self.0.shared.counters.userspace
    }

    /// Only for as long as a statement: the tasks of this thread take turns, and none holds it while it waits.
    fn stack(&self) -> RefMut<'_, Stack> {
        self.0.stack.borrow_mut()
    }

    fn touch(&self) {
        self.0.port.touch();
    }

    /// Carries packets and time until dropped.
    pub async fn run(&self) {
        loop {
            self.follow();
            self.pump(Instant::now());
            // What waits for room is told when there is some.
            let deadline = self.stack().next_deadline().filter(|_| !self.0.port.is_full());
            tokio::select! {
                () = self.0.port.touched() => {}
                () = sleep_until(deadline.unwrap_or_else(Instant::now).into()), if deadline.is_some() => {}
            }
        }
    }

    /// Takes the addresses of the map in force, and cuts what its policy no longer allows: those who wait are told.
    fn follow(&self) {
        let snapshot = self.0.shared.snapshot();
        let former = self.0.followed.replace(Some(snapshot.clone()));
        if former.is_some_and(|former| Arc::ptr_eq(&former, &snapshot)) {
            return;
        }
        let own = snapshot.map.as_ref().and_then(|map| map.own.clone());
        let mut stack = self.stack();
        stack.set_addresses(own.iter().flat_map(|own| own.addresses.iter().copied()));
        let cut: Vec<_> = stack
            .connections()
            .filter(|(_, local, remote, outgoing)| !access::still_allowed(&snapshot, *local, *remote, *outgoing))
            .map(|(id, ..)| id)
            .collect();
        for id in cut {
            stack.abort(id);
        }
    }

    fn pump(&self, now: Instant) {
        let port = &self.0.port;
        let mut stack = self.stack();
        let mut arrived = port.take_arrived();
        loop {
            for packet in arrived.drain(..arrived.len().min(TURN)) {
                stack.receive(now, &packet);
            }
            stack.poll(now);
            port.send(|| {
                let packet = stack.take_packet();
                if packet.is_none() {
                    stack.poll(now);
                    return stack.take_packet();
                }
                packet
            });
            if arrived.is_empty() {
                break;
            }
        }
        self.counters().follow(&stack.counters());
    }

    /// The way to a destination, if the policy lets a conversation begin.
    pub fn route(&self, host: &Host, port: u16, protocol: Protocol) -> Result<Route, Refused> {
        // The map that says yes is the one whose addresses are used.
        self.follow();
        access::route(&self.0.shared, host, port, protocol)
    }

    /// A connection into the overlay.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn connect(&self, host: &Host, port: u16) -> Result<Stream, Refused> {
        let route = self.route(host, port, Protocol::TCP)?;
        let id = self
            .stack()
            .connect(Instant::now(), route.local, route.remote)
            .map_err(|_| Refused::Busy)?;
        self.touch();
        let stream = Stream { net: self.clone(), id };
        let opened = poll_fn(|context| match self.stack().opened(id, Some(context.waker())) {
            Write::Pending => Poll::Pending,
            Write::Bytes(_) => Poll::Ready(Ok(())),
            Write::Broken => Poll::Ready(Err(Refused::Rejected)),
        });
        timeout(CONNECT, opened).await.unwrap_or(Err(Refused::Silent))?;
        Ok(stream)
    }

    /// Takes connections from the overlay to a port; `None` when somebody does already.
    pub fn listen(&self, port: u16) -> Option<Listener> {
        self.stack().listen(port).then(|| Listener {
            net: self.clone(),
            port,
        })
    }

    /// A UDP port of the overlay, an ephemeral one for 0; `None` when it is taken or there are too many.
    pub fn bind_udp(&self, port: u16) -> Option<UdpPort> {
        let id = self.stack().bind_udp(port)?;
        Some(UdpPort { net: self.clone(), id })
    }
}

/// One end of a connection. Dropped before both sides ended it, it is cut.
pub struct Stream {
    net: Net,
    id: ConnectionId,
}

impl Stream {
    /// Own end.
    pub fn local(&self) -> Option<SocketAddr> {
        Some(self.net.stack().ends(self.id)?.0)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.net.stack().release(self.id, Some(Instant::now()));
        self.net.touch();
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buffer.initialize_unfilled();
        let read = self.net.stack().read(self.id, room, Some(context.waker()));
        match read {
            Read::Bytes(count) => {
                buffer.advance(count);
                self.net.touch();
                Poll::Ready(Ok(()))
            }
            Read::Pending => Poll::Pending,
            Read::End => Poll::Ready(Ok(())),
            Read::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.net.stack().write(self.id, bytes, Some(context.waker()));
        match written {
            Write::Bytes(count) => {
                self.net.touch();
                Poll::Ready(Ok(count))
            }
            Write::Pending => Poll::Pending,
            Write::Broken => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.net.stack().shut(self.id);
        self.net.touch();
        Poll::Ready(Ok(()))
    }
}

/// Takes connections until dropped.
pub struct Listener {
    net: Net,
    port: u16,
}

impl Listener {
    pub async fn accept(&self) -> Stream {
        let id = poll_fn(|context| {
            let accepted = self.net.stack().accept(self.port, Some(context.waker()));
            accepted.map_or(Poll::Pending, Poll::Ready)
        });
        Stream {
            id: id.await,
            net: self.net.clone(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.net.stack().unlisten(self.port);
        self.net.touch();
    }
}

/// A bound UDP port; given back when dropped.
pub struct UdpPort {
    net: Net,
    id: PortId,
}

impl UdpPort {
    pub async fn receive(&self) -> Datagram {
        poll_fn(|context| {
            let datagram = self.net.stack().receive_from_udp(self.id, Some(context.waker()));
            datagram.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Sends, or says why not; a datagram may be lost anyway.
    pub fn send(&self, local: IpAddr, to: SocketAddr, payload: &[u8]) -> Result<(), SendError> {
        let sent = self.net.stack().send_udp(self.id, local, to, payload);
        self.net.touch();
        sent
    }
}

impl Drop for UdpPort {
    fn drop(&mut self) {
        self.net.stack().unbind_udp(self.id);
    }
}
