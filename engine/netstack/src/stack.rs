//! What a packet means, and what the holders of connections and ports may do.

use crate::connection::{Connection, ConnectionId, Ends, Holder, Read, Write};
use crate::counters::Counters;
use crate::device::{Outbound, Wire};
use crate::limits::{HALF_OPEN_TIME, Limits, ORPHAN_TIME};
use crate::table::Table;
use crate::udp::{self, Datagram, PortId, Ports, SendError};
use cvlan_wire::packet::{parse, tcp_flags};
use cvlan_wire::{IcmpKind, Meta, Transport};
use smoltcp::iface::{Config, Interface, PollResult, SocketSet};
use smoltcp::wire::{HardwareAddress, IpEndpoint};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::task::Waker;
use std::time::{Duration, Instant};

/// Ephemeral ports (RFC 6335, section 6).
const EPHEMERAL: std::ops::RangeInclusive<u16> = 49_152..=u16::MAX;
/// Packets of one connection before the next has its turn.
const TURN: usize = 16;
/// When a connection is looked at again that says it has something to send and sends nothing.
const HESITATION: Duration = Duration::from_millis(1);

/// Why no connection was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The local address is none of this stack, or the ends do not fit each other.
    #[error("there is no own address for this destination")]
    Ends,
    /// Too many connections, or too many with this address.
    #[error("too many connections")]
    Full,
}

/// One stack.
pub struct Stack {
    mtu: usize,
    epoch: Instant,
    interface: Interface,
    nobody: SocketSet<'static>,
    outbound: Outbound,
    addresses: BTreeSet<IpAddr>,
    table: Table,
    ports: Ports,
    next_port: u16,
    replies: Replies,
    counters: Counters,
}

impl Stack {
    /// A stack without addresses. `seed` decides sequence numbers and the first ephemeral port: random and secret.
    #[must_use]
    pub fn new(mtu: u16, seed: u64, limits: Limits, now: Instant) -> Self {
        let mut outbound = Outbound::new(limits.outbound);
        let mtu = usize::from(mtu);
        let interface = interface(mtu, seed, &mut outbound);
        let [low, high, ..] = seed.to_le_bytes();
        Self {
            mtu,
            epoch: now,
            interface,
            nobody: SocketSet::new(Vec::new()),
            outbound,
            addresses: BTreeSet::new(),
            table: Table::new(limits),
            ports: Ports::new(limits),
            next_port: EPHEMERAL.start() | u16::from_le_bytes([low, high]),
            replies: Replies::new(limits.replies_per_second, now),
            counters: Counters::default(),
        }
    }

    /// Another MTU, for what is sent from now on.
    pub fn set_mtu(&mut self, mtu: u16, seed: u64) {
        if self.mtu != usize::from(mtu) {
            self.mtu = mtu.into();
            self.interface = interface(self.mtu, seed, &mut self.outbound);
        }
    }

    /// Declares the own addresses; connections of an address that is gone are cut.
    pub fn set_addresses(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.addresses = addresses.into_iter().collect();
        let gone: Vec<_> = self
            .table
            .iter()
            .filter(|(_, connection)| !self.addresses.contains(&connection.ends.local.ip()))
            .map(|(id, _)| id)
            .collect();
        for id in gone {
            self.abort(id);
        }
    }

    /// The own addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().copied()
    }

    /// Takes one IP packet.
    pub fn receive(&mut self, now: Instant, packet: &[u8]) {
        let meta = parse(packet).ok().filter(|meta| meta.fragment.is_none());
        let Some(meta) = meta.filter(|meta| self.addresses.contains(&meta.destination)) else {
            self.counters.dropped_unwanted += 1;
            return;
        };
        let packet = packet.get(..meta.length).unwrap_or(packet);
        match meta.transport {
            Transport::Tcp {
                source,
                destination,
                flags,
            } => self.receive_tcp(now, &meta, (source, destination), flags, packet),
            Transport::Udp { destination, .. } if self.ports.is_bound(destination) => self.receive_udp(&meta, packet),
            Transport::Icmp(IcmpKind::Request { .. }) => self.answer(now, packet),
            // Errors about our packets are told by silence, and answers are asked for by nobody here.
            Transport::Icmp(_) => {}
            _ => self.answer_within_bounds(now, packet),
        }
    }

    fn receive_tcp(&mut self, now: Instant, meta: &Meta, ports: (u16, u16), flags: u8, packet: &[u8]) {
        let ends = Ends {
            local: SocketAddr::new(meta.destination, ports.1),
            remote: SocketAddr::new(meta.source, ports.0),
        };
        if let Some(id) = self.table.find(&ends) {
            self.give(now, id, packet);
            return;
        }
        let begins = flags & (tcp_flags::SYN | tcp_flags::ACK | tcp_flags::RST | tcp_flags::FIN) == tcp_flags::SYN;
        if !begins || !self.table.is_listening(ends.local.port()) {
            self.answer_within_bounds(now, packet);
            return;
        }
        let holder = Holder::HalfOpen {
            until: now + HALF_OPEN_TIME,
        };
        let id = self.table.add(ends, holder, false);
        let connection = id.and_then(|id| self.table.get_mut(id));
        let (Some(id), Some(connection)) = (id, connection) else {
            self.counters.dropped_connections += 1;
            return;
        };
        if connection.socket_mut().listen(ends.local).is_ok() {
            self.give(now, id, packet);
        }
        // A wrong checksum, for example: nothing was begun.
        if self.table.get(id).is_some_and(|begun| begun.socket().is_listening()) {
            self.table.remove(id);
        }
    }

    fn give(&mut self, now: Instant, id: ConnectionId, packet: &[u8]) {
        let time = self.time(now);
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        let shown = connection.mark.hear(packet);
        let mut wire = Wire {
            inbound: Some(shown.as_deref().unwrap_or(packet)),
            outbound: &mut self.outbound,
            mtu: self.mtu,
            mark: Some(&mut connection.mark),
        };
        self.interface
            .poll_ingress_single(time, &mut wire, &mut connection.sockets);
        self.table.set_due(id);
    }

    fn receive_udp(&mut self, meta: &Meta, packet: &[u8]) {
        let delivered = udp::read(packet).is_some_and(|(source, destination, payload)| {
            let datagram = Datagram {
                local: meta.destination,
                remote: SocketAddr::new(meta.source, source),
                payload: payload.to_vec(),
            };
            self.ports.deliver(destination, datagram)
        });
        self.counters.dropped_datagrams += u64::from(!delivered);
    }

    /// Lets smoltcp answer a packet that is for no connection: an echo, a reset, an ICMP error.
    fn answer(&mut self, now: Instant, packet: &[u8]) {
        let time = self.time(now);
        let mut wire = Wire {
            inbound: Some(packet),
            outbound: &mut self.outbound,
            mtu: self.mtu,
            mark: None,
        };
        self.interface.poll_ingress_single(time, &mut wire, &mut self.nobody);
    }

    fn answer_within_bounds(&mut self, now: Instant, packet: &[u8]) {
        if self.replies.take(now) {
            self.answer(now, packet);
        } else {
            self.counters.dropped_replies += 1;
        }
    }

    /// Lets connections send what they have, until packets have to be taken.
    pub fn poll(&mut self, now: Instant) {
        self.table.expire(now);
        while !self.outbound.is_full() {
            let Some(id) = self.table.next_due() else { break };
            self.turn(now, id);
        }
    }

    fn turn(&mut self, now: Instant, id: ConnectionId) {
        let time = self.time(now);
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        match connection.holder {
            Holder::HalfOpen { until } | Holder::Orphan { until } if now >= until => connection.socket_mut().abort(),
            _ => {}
        }
        let mut wire = Wire {
            inbound: None,
            outbound: &mut self.outbound,
            mtu: self.mtu,
            mark: Some(&mut connection.mark),
        };
        let mut more = true;
        for _ in 0..TURN {
            more =
                self.interface.poll_egress(time, &mut wire, &mut connection.sockets) == PollResult::SocketStateChanged;
            if !more {
                break;
            }
        }
        let blocked = wire.outbound.is_full();
        let next = self.interface.poll_at(time, &connection.sockets);
        self.settle(id);
        let Some(connection) = self.table.get(id) else { return };
        let next = next.map(|at| {
            self.instant(at)
                .max(now + if more { Duration::ZERO } else { HESITATION })
        });
        if more || (blocked && next.is_some_and(|at| at <= now + HESITATION)) {
            self.table.set_due(id);
            return;
        }
        let until = match connection.holder {
            Holder::HalfOpen { until } | Holder::Orphan { until } => Some(until),
            Holder::Waiting | Holder::Held => None,
        };
        self.table.set_timer(id, next.into_iter().chain(until).min());
    }

    /// Completes, or forgets, what has come so far.
    fn settle(&mut self, id: ConnectionId) {
        let Some(connection) = self.table.get(id) else { return };
        let keep = match connection.holder {
            // A reset took it back to where it began.
            Holder::HalfOpen { .. } if connection.socket().is_listening() => false,
            Holder::HalfOpen { .. } if connection.is_opening() => true,
            Holder::HalfOpen { .. } if connection.is_cut() => !connection.is_over(),
            Holder::HalfOpen { .. } => {
                if !self.table.completed(id) {
                    self.abort(id);
                }
                return;
            }
            Holder::Orphan { .. } => !connection.is_over(),
            Holder::Waiting | Holder::Held => true,
        };
        if !keep {
            self.table.remove(id);
        }
    }

    /// When [`Stack::poll`] is to be called although nothing happened; an instant in the past means at once.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.table.has_due() && !self.outbound.is_full() {
            return Some(self.epoch);
        }
        self.table.next_timer()
    }

    /// The next packet to send.
    pub fn take_packet(&mut self) -> Option<Vec<u8>> {
        self.outbound.pop()
    }

    /// Begins a connection from an own address.
    ///
    /// # Errors
    /// When the ends do not fit or there are too many connections.
    pub fn connect(&mut self, now: Instant, local: IpAddr, remote: SocketAddr) -> Result<ConnectionId, OpenError> {
        let fits = self.addresses.contains(&local) && local.is_ipv4() == remote.is_ipv4();
        if !fits || remote.port() == 0 || remote.ip().is_unspecified() || remote.ip().is_multicast() {
            return Err(OpenError::Ends);
        }
        let ends = |port| Ends {
            local: SocketAddr::new(local, port),
            remote,
        };
        let free = |stack: &Self, port: u16| stack.table.find(&ends(port)).is_none() && !stack.table.is_listening(port);
        let port = self.ephemeral(free).ok_or(OpenError::Full)?;
        let id = self.table.add(ends(port), Holder::Held, true).ok_or(OpenError::Full)?;
        let time = self.time(now);
        self.interface.poll_maintenance(time);
        let context = self.interface.context();
        let connection = self.table.get_mut(id).ok_or(OpenError::Full)?;
        let local = SocketAddr::new(local, port);
        let begun = connection
            .socket_mut()
            .connect(context, IpEndpoint::from(remote), local);
        if begun.is_err() {
            self.table.remove(id);
            return Err(OpenError::Ends);
        }
        self.table.set_due(id);
        Ok(id)
    }

    /// The next port that is free.
    fn ephemeral(&mut self, free: impl Fn(&Self, u16) -> bool) -> Option<u16> {
        for _ in EPHEMERAL {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(*EPHEMERAL.start());
            if free(self, port) {
                return Some(port);
            }
        }
        None
    }

    /// Takes connections to a TCP port on every own address; false when somebody does already.
    #[must_use]
    pub fn listen(&mut self, port: u16) -> bool {
        self.table.listen(port)
    }

    /// Takes no more; what nobody accepted is cut.
    pub fn unlisten(&mut self, port: u16) {
        for id in self.table.unlisten(port) {
            self.release(id, None);
        }
    }

    /// The next complete connection to a port; when there is none, `waker` is called once there is one.
    pub fn accept(&mut self, port: u16, waker: Option<&Waker>) -> Option<ConnectionId> {
        self.table.accept(port, waker)
    }

    /// Own and remote end of a connection.
    #[must_use]
    pub fn ends(&self, id: ConnectionId) -> Option<(SocketAddr, SocketAddr)> {
        let ends = self.table.get(id)?.ends;
        Some((ends.local, ends.remote))
    }

    /// Every connection: id, own end, remote end, and whether this side began it.
    pub fn connections(&self) -> impl Iterator<Item = (ConnectionId, SocketAddr, SocketAddr, bool)> + '_ {
        let told = |(id, connection): (ConnectionId, &Connection)| {
            (id, connection.ends.local, connection.ends.remote, connection.outgoing)
        };
        self.table.iter().map(told)
    }

    /// Whether a connection is complete, `Pending` until it is; when it is pending, `waker` is called on a change.
    pub fn opened(&mut self, id: ConnectionId, waker: Option<&Waker>) -> Write {
        let Some(connection) = self.table.get_mut(id) else {
            return Write::Broken;
        };
        if connection.is_established() {
            return Write::Bytes(0);
        }
        if !connection.is_opening() {
            return Write::Broken;
        }
        if let Some(waker) = waker {
            connection.socket_mut().register_send_waker(waker);
        }
        Write::Pending
    }

    /// Reads; when nothing is there, `waker` is called once something is.
    pub fn read(&mut self, id: ConnectionId, room: &mut [u8], waker: Option<&Waker>) -> Read {
        let Some(connection) = self.table.get_mut(id) else {
            return Read::Reset;
        };
        let read = connection.read(room);
        match read {
            // The window may have opened.
            Read::Bytes(_) => self.table.set_due(id),
            Read::Pending => {
                if let Some(waker) = waker {
                    connection.socket_mut().register_recv_waker(waker);
                }
            }
            Read::End | Read::Reset => {}
        }
        read
    }

    /// Writes; when there is no room, `waker` is called once there is.
    pub fn write(&mut self, id: ConnectionId, bytes: &[u8], waker: Option<&Waker>) -> Write {
        let Some(connection) = self.table.get_mut(id) else {
            return Write::Broken;
        };
        let written = connection.write(bytes);
        match written {
            Write::Bytes(_) => self.table.set_due(id),
            Write::Pending => {
                if let Some(waker) = waker {
                    connection.socket_mut().register_send_waker(waker);
                }
            }
            Write::Broken => {}
        }
        written
    }

    /// Sends no more than what was written so far.
    pub fn shut(&mut self, id: ConnectionId) {
        if let Some(connection) = self.table.get_mut(id) {
            connection.socket_mut().close();
            self.table.set_due(id);
        }
    }

    /// Cuts a connection; the other side is told.
    pub fn abort(&mut self, id: ConnectionId) {
        if let Some(connection) = self.table.get_mut(id) {
            connection.socket_mut().abort();
            self.table.set_due(id);
        }
    }

    /// Lets a connection go. One that both sides ended is left to end by itself from `now` on, any other is cut; `None`
    /// cuts it in any case.
    pub fn release(&mut self, id: ConnectionId, now: Option<Instant>) {
        use smoltcp::socket::tcp::State;
        let Some(connection) = self.table.get_mut(id) else {
            return;
        };
        let ends_by_itself = matches!(
            connection.socket().state(),
            State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck | State::TimeWait
        );
        let unread = connection.socket().recv_queue() > 0;
        match now {
            Some(now) if ends_by_itself && !unread => {
                connection.holder = Holder::Orphan {
                    until: now + ORPHAN_TIME,
                };
            }
            _ => {
                connection.holder = Holder::Orphan { until: self.epoch };
                connection.socket_mut().abort();
            }
        }
        self.table.set_due(id);
    }

    /// Binds a UDP port on every own address, an ephemeral one when `port` is 0; `None` when it is bound or there are too
    /// many.
    pub fn bind_udp(&mut self, port: u16) -> Option<PortId> {
        let port = match port {
            0 => self.ephemeral(|stack, port| !stack.ports.is_bound(port))?,
            port => port,
        };
        self.ports.bind(port).then_some(PortId(port))
    }

    /// Gives a UDP port back.
    pub fn unbind_udp(&mut self, port: PortId) {
        self.ports.unbind(port.0);
    }

    /// Sends a datagram from an own address and a bound port.
    ///
    /// # Errors
    /// When it is too long, its ends do not fit, or packets wait to be taken.
    pub fn send_udp(&mut self, port: PortId, local: IpAddr, to: SocketAddr, payload: &[u8]) -> Result<(), SendError> {
        if !self.addresses.contains(&local) || !self.ports.is_bound(port.0) {
            return Err(SendError::Ends);
        }
        let packet = udp::write(SocketAddr::new(local, port.0), to, payload, self.mtu)?;
        if self.outbound.is_full() {
            return Err(SendError::Busy);
        }
        self.outbound.push(packet);
        Ok(())
    }

    /// The next datagram of a port; when there is none, `waker` is called once one comes.
    pub fn receive_from_udp(&mut self, port: PortId, waker: Option<&Waker>) -> Option<Datagram> {
        self.ports.take(port.0, waker)
    }

    /// Counts.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            dropped_replies: self.counters.dropped_replies + self.outbound.overflowed,
            connections: self.table.len() as u64,
            ..self.counters
        }
    }

    fn time(&self, now: Instant) -> smoltcp::time::Instant {
        let since = now.saturating_duration_since(self.epoch).as_micros();
        smoltcp::time::Instant::from_micros(i64::try_from(since).unwrap_or(i64::MAX))
    }

    fn instant(&self, time: smoltcp::time::Instant) -> Instant {
        self.epoch + Duration::from_micros(u64::try_from(time.total_micros()).unwrap_or(0))
    }
}

/// What smoltcp knows of the wire; connections are not part of it.
fn interface(mtu: usize, seed: u64, outbound: &mut Outbound) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let mut wire = Wire {
        inbound: None,
        outbound,
        mtu,
        mark: None,
    };
    let mut interface = Interface::new(config, &mut wire, smoltcp::time::Instant::ZERO);
    // Which addresses are its own is decided by the stack: smoltcp has room for a few only.
    interface.set_any_ip(true);
    interface
}

/// A token bucket that holds one second.
struct Replies {
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

impl Replies {
    fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self {
            per_second,
            tokens: per_second,
            filled: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + since * self.per_second).min(self.per_second);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}
