//! The connections of a stack: who they are, whose turn it is, and how many there may be.

use crate::connection::{Connection, ConnectionId, Ends, Holder};
use crate::limits::Limits;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::task::Waker;
use std::time::Instant;

/// Connections to a port that others began.
#[derive(Default)]
pub(crate) struct Listener {
    /// Complete, not accepted yet.
    waiting: VecDeque<ConnectionId>,
    waker: Option<Waker>,
}

pub(crate) struct Table {
    limits: Limits,
    by_id: BTreeMap<ConnectionId, Connection>,
    by_ends: HashMap<Ends, ConnectionId>,
    listeners: HashMap<u16, Listener>,
    due: VecDeque<ConnectionId>,
    timers: BTreeSet<(Instant, ConnectionId)>,
    next: u64,
    memory: usize,
}

impl Table {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            by_id: BTreeMap::new(),
            by_ends: HashMap::new(),
            listeners: HashMap::new(),
            due: VecDeque::new(),
            timers: BTreeSet::new(),
            next: 0,
            memory: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.by_id.get(&id)
    }

    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.by_id.get_mut(&id)
    }

    pub fn find(&self, ends: &Ends) -> Option<ConnectionId> {
        self.by_ends.get(ends).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.by_id.iter().map(|(id, connection)| (*id, connection))
    }

    /// A new connection, if the bounds let it; ended ones that only wait make room.
    pub fn add(&mut self, ends: Ends, holder: Holder, outgoing: bool) -> Option<ConnectionId> {
        let buffer = self.room_for(ends.remote.ip(), matches!(holder, Holder::HalfOpen { .. }))?;
        let id = ConnectionId(self.next);
        self.next += 1;
        let connection = Connection::new(ends, holder, outgoing, buffer);
        self.memory += connection.memory;
        self.by_ends.insert(ends, id);
        self.by_id.insert(id, connection);
        Some(id)
    }

    /// Bytes of each buffer of another connection.
    fn room_for(&mut self, remote: IpAddr, half_open: bool) -> Option<usize> {
        let limits = self.limits;
        if self.len() >= limits.connections || self.memory + 2 * limits.small_buffer > limits.memory {
            let waits = |(id, connection): (&ConnectionId, &Connection)| {
                let alone = matches!(connection.holder, Holder::Orphan { .. });
                (alone && connection.is_in_time_wait()).then_some(*id)
            };
            let ended = self.by_id.iter().find_map(waits)?;
            self.remove(ended);
        }
        let (mut same, mut open, mut same_open) = (0, 0, 0);
        for connection in self.by_id.values() {
            let (is_same, is_open) = (
                connection.ends.remote.ip() == remote,
                matches!(connection.holder, Holder::HalfOpen { .. }),
            );
            same += usize::from(is_same);
            open += usize::from(is_open);
            same_open += usize::from(is_same && is_open);
        }
        if same >= limits.connections_per_remote {
            return None;
        }
        if half_open && (open >= limits.half_open || same_open >= limits.half_open_per_remote) {
            return None;
        }
        let roomy = self.memory + 2 * limits.buffer <= limits.memory / 2;
        let fits = self.memory + 2 * limits.small_buffer <= limits.memory;
        match (roomy, fits) {
            (true, _) => Some(limits.buffer),
            (false, true) => Some(limits.small_buffer),
            (false, false) => None,
        }
    }

    pub fn remove(&mut self, id: ConnectionId) {
        let Some(connection) = self.by_id.remove(&id) else {
            return;
        };
        self.by_ends.remove(&connection.ends);
        self.memory -= connection.memory;
        if let Some(at) = connection.timer {
            self.timers.remove(&(at, id));
        }
    }

    /// False when somebody listens there already.
    pub fn listen(&mut self, port: u16) -> bool {
        if port == 0 || self.listeners.contains_key(&port) {
            return false;
        }
        self.listeners.insert(port, Listener::default());
        true
    }

    pub fn is_listening(&self, port: u16) -> bool {
        self.listeners.contains_key(&port)
    }

    /// The connections that nobody accepted.
    pub fn unlisten(&mut self, port: u16) -> Vec<ConnectionId> {
        let listener = self.listeners.remove(&port).unwrap_or_default();
        listener.waiting.into_iter().collect()
    }

    pub fn accept(&mut self, port: u16, waker: Option<&Waker>) -> Option<ConnectionId> {
        let listener = self.listeners.get_mut(&port)?;
        while let Some(id) = listener.waiting.pop_front() {
            if let Some(connection) = self.by_id.get_mut(&id) {
                connection.holder = Holder::Held;
                return Some(id);
            }
        }
        listener.waker = waker.cloned();
        None
    }

    /// A connection of a listener is complete; false when the listener is gone.
    pub fn completed(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.by_id.get_mut(&id) else {
            return false;
        };
        let Some(listener) = self.listeners.get_mut(&connection.ends.local.port()) else {
            return false;
        };
        connection.holder = Holder::Waiting;
        listener.waiting.push_back(id);
        if let Some(waker) = listener.waker.take() {
            waker.wake();
        }
        true
    }

    /// It has something to do.
    pub fn set_due(&mut self, id: ConnectionId) {
        if let Some(connection) = self.by_id.get_mut(&id)
            && !connection.due
        {
            connection.due = true;
            self.due.push_back(id);
        }
    }

    pub fn next_due(&mut self) -> Option<ConnectionId> {
        loop {
            let id = self.due.pop_front()?;
            if let Some(connection) = self.by_id.get_mut(&id) {
                connection.due = false;
                return Some(id);
            }
        }
    }

    pub fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// When it is to be looked at again; replaces what was set.
    pub fn set_timer(&mut self, id: ConnectionId, at: Option<Instant>) {
        let Some(connection) = self.by_id.get_mut(&id) else {
            return;
        };
        if let Some(former) = connection.timer {
            self.timers.remove(&(former, id));
        }
        connection.timer = at;
        if let Some(at) = at {
            self.timers.insert((at, id));
        }
    }

    /// Makes due whose time has come.
    pub fn expire(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.timers.first() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            if let Some(connection) = self.by_id.get_mut(&id) {
                connection.timer = None;
            }
            self.set_due(id);
        }
    }

    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }
}
