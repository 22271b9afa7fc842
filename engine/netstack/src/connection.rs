//! One TCP connection: a smoltcp socket in a set of its own, so that a packet costs the same however many there are.

use crate::limits::{KEEP_ALIVE, SILENCE};
use crate::mark::SendMark;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{CongestionControl, RecvError, Socket, SocketBuffer, State};
use std::net::SocketAddr;
use std::time::Instant;

/// Names a connection of one stack; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) u64);

/// Both ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    pub local: SocketAddr,
    pub remote: SocketAddr,
}

/// What reading gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing yet.
    Pending,
    /// The other side will send no more.
    End,
    /// The connection was cut, refused, or timed out.
    Reset,
}

/// What writing gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// So many bytes were taken.
    Bytes(usize),
    /// No room yet.
    Pending,
    /// The connection was cut or this side is shut.
    Broken,
}

/// Whose a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Begun by another; not complete before `until`, it is forgotten.
    HalfOpen { until: Instant },
    /// Complete, waits to be accepted.
    Waiting,
    /// Somebody reads and writes it.
    Held,
    /// Let go; ends by itself, or is cut after `until`.
    Orphan { until: Instant },
}

pub(crate) struct Connection {
    pub ends: Ends,
    pub holder: Holder,
    /// True when this side began.
    pub outgoing: bool,
    /// Bytes of its buffers.
    pub memory: usize,
    /// Stands in the queue of those that have something to do.
    pub due: bool,
    /// Stands among the timers.
    pub timer: Option<Instant>,
    pub sockets: SocketSet<'static>,
    pub mark: SendMark,
    handle: SocketHandle,
}

impl Connection {
    pub fn new(ends: Ends, holder: Holder, outgoing: bool, buffer: usize) -> Self {
        let room = || SocketBuffer::new(vec![0; buffer]);
        let mut socket = Socket::new(room(), room());
        socket.set_congestion_control(CongestionControl::Cubic);
        socket.set_timeout(Some(SILENCE));
        socket.set_keep_alive(Some(KEEP_ALIVE));
        socket.set_nagle_enabled(false);
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        Self {
            ends,
            holder,
            outgoing,
            memory: 2 * buffer,
            due: false,
            timer: None,
            sockets,
            mark: SendMark::default(),
            handle,
        }
    }

    pub fn socket(&self) -> &Socket<'static> {
        self.sockets.get(self.handle)
    }

    pub fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    pub fn read(&mut self, room: &mut [u8]) -> Read {
        if self.is_opening() {
            return Read::Pending;
        }
        match self.socket_mut().recv_slice(room) {
            Ok(0) if !room.is_empty() => Read::Pending,
            Ok(count) => Read::Bytes(count),
            Err(RecvError::Finished) => Read::End,
            Err(RecvError::InvalidState) => Read::Reset,
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> Write {
        if self.is_opening() {
            return Write::Pending;
        }
        match self.socket_mut().send_slice(bytes) {
            Ok(0) if !bytes.is_empty() => Write::Pending,
            Ok(count) => Write::Bytes(count),
            Err(_) => Write::Broken,
        }
    }

    /// Neither refused nor complete.
    pub fn is_opening(&self) -> bool {
        matches!(
            self.socket().state(),
            State::Listen | State::SynSent | State::SynReceived
        )
    }

    pub fn is_established(&self) -> bool {
        self.socket().may_send()
    }

    pub fn is_cut(&self) -> bool {
        self.socket().state() == State::Closed
    }

    /// Nothing more is sent or expected; one that was cut still has to send its reset.
    pub fn is_over(&self) -> bool {
        self.is_cut() && self.socket().remote_endpoint().is_none()
    }

    /// Waits alone for stray packets.
    pub fn is_in_time_wait(&self) -> bool {
        self.socket().state() == State::TimeWait
    }
}
