//! The state as it stands in the sealed memory: records, each with its length before it, from a head to an end.
//!
//! Fields may be added within a format; a record or a field that is not known is passed over. Keys are wiped wherever they
//! were copied; the memory itself is gone with its last descriptor.

use super::{HandoverError, MAX_STATE};
use cvlan_filter::{Direction, FlowState, Stage};
use cvlan_wg::{CommonState, PeerState, SessionState};
use cvlan_wire::prefix::{address_from_bytes, address_to_bytes};
use cvlan_wire::{PeerHandle, Protocol};
use prost::Message;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a record at most: a peer with all that waits for it.
const MAX_RECORD: usize = 2 << 20;
/// A state that is older is of another attempt.
const MAX_AGE: Duration = Duration::from_secs(60);

/// One of these, never two.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct Record {
    #[prost(message, optional, tag = "1")]
    head: Option<Head>,
    #[prost(message, optional, tag = "2")]
    peer: Option<Peer>,
    #[prost(message, optional, tag = "3")]
    flow: Option<Flow>,
    #[prost(message, optional, tag = "4")]
    rule: Option<Rule>,
    #[prost(message, optional, tag = "5")]
    end: Option<End>,
}

/// What is said once. The first record.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Head {
    /// When packets stopped, by the clock that all processes share, nanoseconds.
    #[prost(uint64, tag = "1")]
    pub stopped_at: u64,
    /// When the ages in this state were true, by the same clock.
    #[prost(uint64, tag = "2")]
    pub told_at: u64,
    /// Whose sessions these are.
    #[prost(bytes = "vec", tag = "3")]
    pub public_key: Vec<u8>,
    /// The map that was in force.
    #[prost(uint64, tag = "4")]
    pub epoch: u64,
    #[prost(uint64, tag = "5")]
    pub revision: u64,
    /// The generation that was applied last.
    #[prost(uint64, tag = "6")]
    pub generation: u64,
    /// By stable name.
    #[prost(btree_map = "string, uint64", tag = "7")]
    pub counters: BTreeMap<String, u64>,
    /// Nanoseconds since 1970.
    #[prost(uint64, tag = "8")]
    labelled: u64,
    #[prost(bytes = "vec", tag = "9")]
    cookie_secret: Vec<u8>,
    #[prost(uint64, tag = "10")]
    cookie_secret_age: u64,
}

/// How much there was. The last record.
#[derive(Clone, PartialEq, Message)]
struct End {
    #[prost(uint64, tag = "1")]
    peers: u64,
    #[prost(uint64, tag = "2")]
    flows: u64,
}

/// What a rule decided.
#[derive(Clone, PartialEq, Message)]
pub struct Rule {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub packets: u64,
    #[prost(uint64, tag = "3")]
    pub bytes: u64,
}

/// Ages in nanoseconds, everywhere below.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct Peer {
    #[prost(bytes = "vec", tag = "1")]
    public_key: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    endpoint: Option<Endpoint>,
    #[prost(uint64, optional, tag = "3")]
    sent: Option<u64>,
    #[prost(uint64, optional, tag = "4")]
    received: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    awaiting: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    owing: Option<u64>,
    #[prost(bool, tag = "7")]
    renew: bool,
    #[prost(uint64, tag = "8")]
    bytes_received: u64,
    #[prost(uint64, tag = "9")]
    bytes_sent: u64,
    #[prost(bytes = "vec", repeated, tag = "10")]
    waiting: Vec<Vec<u8>>,
    #[prost(message, optional, tag = "11")]
    current: Option<Session>,
    #[prost(message, optional, tag = "12")]
    previous: Option<Session>,
    #[prost(message, optional, tag = "13")]
    next: Option<Session>,
    #[prost(message, optional, tag = "14")]
    cookie: Option<Aged>,
    #[prost(message, optional, tag = "15")]
    newest: Option<Aged>,
    #[prost(uint64, optional, tag = "16")]
    handshake: Option<u64>,
    /// By the wall clock, nanoseconds since 1970.
    #[prost(uint64, tag = "17")]
    handshake_at: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Aged {
    #[prost(bytes = "vec", tag = "1")]
    bytes: Vec<u8>,
    #[prost(uint64, tag = "2")]
    age: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Endpoint {
    #[prost(bytes = "vec", tag = "1")]
    address: Vec<u8>,
    #[prost(uint32, tag = "2")]
    port: u32,
    /// Of IPv6 alone.
    #[prost(uint32, tag = "3")]
    scope: u32,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct Session {
    #[prost(fixed32, tag = "1")]
    local: u32,
    #[prost(fixed32, tag = "2")]
    remote: u32,
    #[prost(bool, tag = "3")]
    initiator: bool,
    #[prost(bool, tag = "4")]
    confirmed: bool,
    #[prost(uint64, tag = "5")]
    age: u64,
    #[prost(bytes = "vec", tag = "6")]
    send: Vec<u8>,
    #[prost(bytes = "vec", tag = "7")]
    receive: Vec<u8>,
    #[prost(uint64, tag = "8")]
    next: u64,
    #[prost(uint64, tag = "9")]
    seen_next: u64,
    #[prost(fixed64, repeated, tag = "10")]
    seen: Vec<u64>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.send.zeroize();
        self.receive.zeroize();
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.cookie_secret.zeroize();
    }
}

#[derive(Clone, PartialEq, Message)]
struct Flow {
    #[prost(string, tag = "1")]
    node: String,
    #[prost(uint32, tag = "2")]
    protocol: u32,
    #[prost(bytes = "vec", tag = "3")]
    own: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    far: Vec<u8>,
    #[prost(uint32, tag = "5")]
    own_port: u32,
    #[prost(uint32, tag = "6")]
    far_port: u32,
    #[prost(bool, tag = "7")]
    from_far: bool,
    #[prost(bytes = "vec", tag = "8")]
    rule: Vec<u8>,
    #[prost(uint64, tag = "9")]
    age: u64,
    /// 0: closing, 1: opening, 2: established.
    #[prost(uint32, tag = "10")]
    stage: u32,
}

/// Writes a state into memory that is sealed at the end.
pub struct Writer {
    memory: File,
    written: u64,
    end: End,
}

impl Writer {
    /// Begins with what is said once.
    ///
    /// # Errors
    /// When the system has no memory or descriptors left.
    pub fn begin(mut head: Head, common: &CommonState) -> Result<Self, HandoverError> {
        head.labelled = nanos(common.labelled);
        if let Some((secret, age)) = &common.cookie_secret {
            head.cookie_secret = secret.to_vec();
            head.cookie_secret_age = nanos(*age);
        }
        let mut writer = Self {
            memory: cvlan_io::anonymous_memory()?,
            written: 0,
            end: End::default(),
        };
        writer.put(&Record {
            head: Some(head),
            ..Record::default()
        })?;
        Ok(writer)
    }

    /// One peer.
    ///
    /// # Errors
    /// As all that writes.
    pub fn peer(&mut self, told: PeerState) -> Result<(), HandoverError> {
        self.end.peers += 1;
        self.put(&Record {
            peer: Some(peer_record(told)),
            ..Record::default()
        })
    }

    /// One flow with the node of this id.
    ///
    /// # Errors
    /// As all that writes.
    pub fn flow(&mut self, node: &str, told: &FlowState) -> Result<(), HandoverError> {
        self.end.flows += 1;
        self.put(&Record {
            flow: Some(flow_record(node, told)),
            ..Record::default()
        })
    }

    /// What one rule decided.
    ///
    /// # Errors
    /// As all that writes.
    pub fn rule(&mut self, rule: Rule) -> Result<(), HandoverError> {
        self.put(&Record {
            rule: Some(rule),
            ..Record::default()
        })
    }

    /// Nobody can change it from here on.
    ///
    /// # Errors
    /// As all that writes.
    pub fn seal(mut self) -> Result<File, HandoverError> {
        let end = std::mem::take(&mut self.end);
        self.put(&Record {
            end: Some(end),
            ..Record::default()
        })?;
        cvlan_io::seal(&self.memory)?;
        Ok(self.memory)
    }

    fn put(&mut self, record: &Record) -> Result<(), HandoverError> {
        // Of the right size from the beginning: a buffer that grows would leave copies of keys behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(record.encoded_len() + 10));
        let unwritable = |_| bad("it is too long");
        record.encode_length_delimited(&mut *bytes).map_err(unwritable)?;
        self.written += bytes.len() as u64;
        if self.written > MAX_STATE {
            return Err(bad("it is too long"));
        }
        Ok(self.memory.write_all(&bytes)?)
    }
}

/// What one record says.
pub enum Item {
    /// A peer.
    Peer(Box<PeerState>),
    /// A flow, and the id of the node whose the far address is; the handle in it means nothing.
    Flow(String, FlowState),
    /// What a rule decided.
    Rule(Rule),
}

/// Reads a state; ages are made true for now.
pub struct Reader {
    bytes: Zeroizing<Vec<u8>>,
    at: usize,
    passed: Duration,
    seen: End,
    ended: bool,
}

impl Reader {
    /// Reads the head.
    ///
    /// # Errors
    /// When the memory may still be changed, is too long or does not begin with a head of now.
    pub fn open(memory: OwnedFd) -> Result<(Self, Head, CommonState), HandoverError> {
        let memory = File::from(memory);
        if !cvlan_io::is_sealed(&memory) {
            return Err(bad("its memory is not sealed"));
        }
        let length = memory.metadata()?.len();
        if length > MAX_STATE {
            return Err(bad("it is too long"));
        }
        let mut bytes = Zeroizing::new(vec![0; usize::try_from(length).map_err(|_| bad("it is too long"))?]);
        memory.read_exact_at(&mut bytes, 0)?;
        let mut reader = Self {
            bytes,
            at: 0,
            passed: Duration::ZERO,
            seen: End::default(),
            ended: false,
        };
        let head = reader
            .record()?
            .head
            .ok_or_else(|| bad("it does not begin with a head"))?;
        let now = nanos(cvlan_io::monotonic());
        let passed = now.checked_sub(head.told_at).map(Duration::from_nanos);
        reader.passed = passed
            .filter(|passed| *passed <= MAX_AGE)
            .ok_or_else(|| bad("it is not of now"))?;
        let secret = match head.cookie_secret.as_slice() {
            [] => None,
            bytes => Some((secret(bytes)?, reader.aged(head.cookie_secret_age))),
        };
        let common = CommonState {
            labelled: Duration::from_nanos(head.labelled),
            cookie_secret: secret,
        };
        Ok((reader, head, common))
    }

    /// The next record; `None` after the last, which says that all of it came.
    ///
    /// # Errors
    /// When something in it cannot be.
    pub fn next(&mut self) -> Result<Option<Item>, HandoverError> {
        while !self.ended {
            let record = self.record()?;
            if let Some(end) = record.end {
                if end != self.seen || self.at != self.bytes.len() {
                    return Err(bad("it is not whole"));
                }
                self.ended = true;
            } else if let Some(peer) = record.peer {
                self.seen.peers += 1;
                return Ok(Some(Item::Peer(Box::new(self.peer(peer)?))));
            } else if let Some(flow) = record.flow {
                self.seen.flows += 1;
                return Ok(Some(self.flow(flow)?));
            } else if let Some(rule) = record.rule {
                return Ok(Some(Item::Rule(rule)));
            }
        }
        Ok(None)
    }

    fn record(&mut self) -> Result<Record, HandoverError> {
        let cut = || bad("it is not whole");
        let mut rest = self.bytes.get(self.at..).unwrap_or_default();
        let before = rest.len();
        let length = prost::decode_length_delimiter(&mut rest).map_err(|_| cut())?;
        let delimiter = before - rest.len();
        let body = rest
            .get(..length)
            .filter(|body| body.len() <= MAX_RECORD)
            .ok_or_else(cut)?;
        let record = Record::decode(body).map_err(|_| bad("a record cannot be read"))?;
        self.at += delimiter + length;
        Ok(record)
    }

    fn aged(&self, age: u64) -> Duration {
        Duration::from_nanos(age).saturating_add(self.passed)
    }

    fn peer(&self, mut peer: Peer) -> Result<PeerState, HandoverError> {
        let aged = |age: Option<u64>| age.map(|age| self.aged(age));
        let at = Duration::from_nanos(peer.handshake_at);
        Ok(PeerState {
            public_key: fixed(&peer.public_key)?,
            endpoint: peer.endpoint.as_ref().map(endpoint).transpose()?,
            sent: aged(peer.sent),
            received: aged(peer.received),
            awaiting: aged(peer.awaiting),
            owing: aged(peer.owing),
            renew: peer.renew,
            bytes_received: peer.bytes_received,
            bytes_sent: peer.bytes_sent,
            waiting: std::mem::take(&mut peer.waiting),
            current: self.session(peer.current.take())?,
            previous: self.session(peer.previous.take())?,
            next: self.session(peer.next.take())?,
            cookie: peer.cookie.as_ref().map(|held| self.held(held)).transpose()?,
            newest: peer.newest.as_ref().map(|held| self.held(held)).transpose()?,
            latest_handshake: aged(peer.handshake).zip(UNIX_EPOCH.checked_add(at)),
        })
    }

    fn held<const N: usize>(&self, held: &Aged) -> Result<([u8; N], Duration), HandoverError> {
        Ok((fixed(&held.bytes)?, self.aged(held.age)))
    }

    fn session(&self, told: Option<Session>) -> Result<Option<SessionState>, HandoverError> {
        let Some(mut told) = told else { return Ok(None) };
        Ok(Some(SessionState {
            local: told.local,
            remote: told.remote,
            initiator: told.initiator,
            confirmed: told.confirmed,
            age: self.aged(told.age),
            send: secret(&told.send)?,
            receive: secret(&told.receive)?,
            next: told.next,
            seen_next: told.seen_next,
            seen: std::mem::take(&mut told.seen),
        }))
    }

    fn flow(&self, flow: Flow) -> Result<Item, HandoverError> {
        let address = |bytes: &[u8]| address_from_bytes(bytes).map_err(|_| bad("a flow has no address"));
        let port = |port: u32| u16::try_from(port).map_err(|_| bad("a flow has no port"));
        let told = FlowState {
            node: PeerHandle(0),
            protocol: Protocol(u8::try_from(flow.protocol).map_err(|_| bad("a flow has no protocol"))?),
            own: address(&flow.own)?,
            far: address(&flow.far)?,
            own_port: port(flow.own_port)?,
            far_port: port(flow.far_port)?,
            initiator: if flow.from_far {
                Direction::Inbound
            } else {
                Direction::Outbound
            },
            rule: fixed(&flow.rule)?,
            age: self.aged(flow.age),
            stage: match flow.stage {
                0 => Stage::Closing,
                1 => Stage::Opening,
                2 => Stage::Established,
                _ => return Err(bad("a flow is at no stage")),
            },
        };
        Ok(Item::Flow(flow.node, told))
    }
}

fn peer_record(told: PeerState) -> Peer {
    let (handshake, handshake_at) = told.latest_handshake.unzip();
    let aged = |bytes: &[u8], age: Duration| Aged {
        bytes: bytes.to_vec(),
        age: nanos(age),
    };
    Peer {
        public_key: told.public_key.to_vec(),
        endpoint: told.endpoint.map(|endpoint| Endpoint {
            address: address_to_bytes(endpoint.ip()),
            port: endpoint.port().into(),
            scope: match endpoint {
                SocketAddr::V4(_) => 0,
                SocketAddr::V6(v6) => v6.scope_id(),
            },
        }),
        sent: told.sent.map(nanos),
        received: told.received.map(nanos),
        awaiting: told.awaiting.map(nanos),
        owing: told.owing.map(nanos),
        renew: told.renew,
        bytes_received: told.bytes_received,
        bytes_sent: told.bytes_sent,
        waiting: told.waiting,
        current: told.current.map(session_record),
        previous: told.previous.map(session_record),
        next: told.next.map(session_record),
        cookie: told.cookie.map(|(cookie, age)| aged(&cookie, age)),
        newest: told.newest.map(|(label, age)| aged(&label, age)),
        handshake: handshake.map(nanos),
        handshake_at: handshake_at
            .and_then(|at: SystemTime| at.duration_since(UNIX_EPOCH).ok())
            .map_or(0, nanos),
    }
}

fn session_record(told: SessionState) -> Session {
    Session {
        local: told.local,
        remote: told.remote,
        initiator: told.initiator,
        confirmed: told.confirmed,
        age: nanos(told.age),
        send: told.send.to_vec(),
        receive: told.receive.to_vec(),
        next: told.next,
        seen_next: told.seen_next,
        seen: told.seen,
    }
}

fn flow_record(node: &str, told: &FlowState) -> Flow {
    Flow {
        node: node.to_owned(),
        protocol: told.protocol.0.into(),
        own: address_to_bytes(told.own),
        far: address_to_bytes(told.far),
        own_port: told.own_port.into(),
        far_port: told.far_port.into(),
        from_far: told.initiator == Direction::Inbound,
        rule: told.rule.to_vec(),
        age: nanos(told.age),
        stage: match told.stage {
            Stage::Closing => 0,
            Stage::Opening => 1,
            Stage::Established => 2,
        },
    }
}

fn endpoint(told: &Endpoint) -> Result<SocketAddr, HandoverError> {
    let strange = || bad("an endpoint is none");
    let address = address_from_bytes(&told.address).map_err(|_| strange())?;
    let port = u16::try_from(told.port).map_err(|_| strange())?;
    let mut endpoint = SocketAddr::new(address, port);
    if let SocketAddr::V6(v6) = &mut endpoint {
        v6.set_scope_id(told.scope);
    }
    Ok(endpoint)
}

fn secret(bytes: &[u8]) -> Result<Zeroizing<[u8; 32]>, HandoverError> {
    fixed(bytes).map(Zeroizing::new)
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], HandoverError> {
    bytes.try_into().map_err(|_| bad("a key or a label has another length"))
}

pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

pub fn bad(what: &str) -> HandoverError {
    HandoverError::State(what.to_owned())
}

#[cfg(test)]
mod tests;
