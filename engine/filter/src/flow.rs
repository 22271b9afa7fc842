//! One conversation: what identifies it, how long it lives, which packets belong to it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cvlan_wire::packet::tcp_flags::{ACK, FIN, RST, SYN};
use cvlan_wire::{IcmpKind, Meta, PeerHandle, Protocol, Quoted, RuleId, Transport};

use crate::Direction;
use crate::cache::Standing;
use crate::entry::Entry;
use crate::policy::Compiled;
use crate::ports::Kind;

/// An established flow that was silent so long is not protected from those of other peers (RFC 4787 REQ-5 would let it go).
const QUIET: Duration = Duration::from_secs(180);

/// What may start a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Whatever the policy allows.
    New,
    /// Nothing: the map is stale, and its policy keeps established flows only.
    EstablishedOnly,
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Forward it or drop it.
    pub allowed: bool,
    /// Why.
    pub basis: Basis,
}

/// Why a packet is forwarded or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A rule said so, or no rule spoke (None), which denies.
    Rule(Option<RuleId>),
    /// It belongs to a flow that this rule allowed.
    Flow(RuleId),
    /// It is an answer or an error message, or the rest of a fragmented packet, and nothing is known that it belongs to.
    NoFlow,
    /// It would start a flow, and none may start.
    Stale,
}

impl Judgement {
    pub(crate) fn pass(basis: Basis) -> Self {
        Self { allowed: true, basis }
    }

    pub(crate) fn drop(basis: Basis) -> Self {
        Self { allowed: false, basis }
    }
}

/// Identifies a conversation, the same for both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub peer: PeerHandle,
    pub protocol: Protocol,
    pub own: IpAddr,
    pub far: IpAddr,
    /// For ICMP both ports are the identifier.
    pub own_port: u16,
    pub far_port: u16,
}

impl Key {
    pub(crate) fn of(direction: Direction, peer: PeerHandle, meta: &Meta) -> Self {
        let (source_port, destination_port) = match meta.transport {
            Transport::Tcp {
                source, destination, ..
            }
            | Transport::Udp { source, destination } => (source, destination),
            Transport::Icmp(IcmpKind::Request { identifier } | IcmpKind::Reply { identifier }) => {
                (identifier, identifier)
            }
            Transport::Icmp(IcmpKind::Error(_) | IcmpKind::Other) | Transport::Other | Transport::Absent => (0, 0),
        };
        let ends = (meta.source, source_port, meta.destination, destination_port);
        Self::from_ends(direction, peer, meta.protocol, ends)
    }

    /// The flow of a packet that went `direction`.
    pub(crate) fn of_quoted(direction: Direction, peer: PeerHandle, quoted: &Quoted) -> Self {
        let ends = (
            quoted.source,
            quoted.source_port,
            quoted.destination,
            quoted.destination_port,
        );
        Self::from_ends(direction, peer, quoted.protocol, ends)
    }

    fn from_ends(
        direction: Direction,
        peer: PeerHandle,
        protocol: Protocol,
        (source, source_port, destination, destination_port): (IpAddr, u16, IpAddr, u16),
    ) -> Self {
        match direction {
            Direction::Outbound => Self {
                peer,
                protocol,
                own: source,
                far: destination,
                own_port: source_port,
                far_port: destination_port,
            },
            Direction::Inbound => Self {
                peer,
                protocol,
                own: destination,
                far: source,
                own_port: destination_port,
                far_port: source_port,
            },
        }
    }

    /// The kind of the packet that started the flow.
    pub(crate) fn kind(&self, initiator: Direction) -> Kind {
        let port = match initiator {
            Direction::Outbound => self.far_port,
            Direction::Inbound => self.own_port,
        };
        match self.protocol {
            Protocol::TCP => Kind::Tcp(port),
            Protocol::UDP => Kind::Udp(port),
            Protocol::ICMP if self.own.is_ipv4() => Kind::Icmp,
            Protocol::ICMPV6 if self.own.is_ipv6() => Kind::Icmp,
            _ => Kind::Other,
        }
    }
}

/// A conversation that the policy allowed.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub initiator: Direction,
    /// The rule that does.
    pub entry: Arc<Entry>,
    /// The policy that last said yes.
    pub generation: u64,
    pub last_seen: Instant,
    pub phase: Phase,
}

/// How far a conversation is; later phases are kept rather than earlier ones when room is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Ended (TCP FIN or RST).
    Closing,
    /// Only its initiator spoke.
    Opening,
    /// Both spoke.
    Established,
}

impl Flow {
    /// Idle times after which a flow is forgotten. TCP: 5 days once both ends spoke (netfilter's value, above the two
    /// hours of RFC 5382 REQ-5), two minutes while it opens or closes. UDP: 180 s, above RFC 4787 REQ-5's two minutes.
    /// ICMP: 30 s, below RFC 5508 REQ-2's 60 s since the answer to an echo comes at once. Others: ten minutes.
    fn idle_time(&self, protocol: Protocol) -> Duration {
        let seconds = match (protocol, self.phase) {
            (Protocol::TCP, Phase::Established) => 5 * 24 * 3600,
            (Protocol::TCP, Phase::Opening | Phase::Closing) => 120,
            (Protocol::UDP, _) => 180,
            (Protocol::ICMP | Protocol::ICMPV6, _) => 30,
            _ => 600,
        };
        Duration::from_secs(seconds)
    }

    pub(crate) fn is_expired(&self, protocol: Protocol, now: Instant) -> bool {
        now.saturating_duration_since(self.last_seen) >= self.idle_time(protocol)
    }

    /// What it is worth where room is short.
    pub(crate) fn standing(&self, key: &Key, now: Instant) -> Standing<(Phase, Instant)> {
        let worth = (self.phase, self.last_seen);
        match self.phase {
            _ if self.is_expired(key.protocol, now) => Standing::Ended,
            Phase::Established if now.saturating_duration_since(self.last_seen) < QUIET => Standing::Protected(worth),
            _ => Standing::Worth(worth),
        }
    }

    /// Whether the flow is still allowed: by the rule that did, or by what a newer policy says of the packet that
    /// started it, and then by that rule from now on.
    pub(crate) fn is_allowed(&mut self, policy: &Compiled, key: &Key, now: Instant) -> bool {
        if self.is_expired(key.protocol, now) {
            return false;
        }
        if self.generation >= policy.generation() {
            return true;
        }
        let kind = key.kind(self.initiator);
        match policy.decide_kind(self.initiator, key.peer, key.own, key.far, kind) {
            (true, Some(entry)) => {
                self.entry = entry.clone();
                self.generation = policy.generation();
                true
            }
            _ => false,
        }
    }

    pub(crate) fn rule(&self) -> RuleId {
        self.entry.rule.id
    }

    /// True when the packet belongs to the flow. Against the direction of the initiator only answers do: no SYN that
    /// opens a connection backwards, no echo request.
    pub(crate) fn carries(&self, direction: Direction, transport: &Transport) -> bool {
        let answers = direction != self.initiator;
        match transport {
            Transport::Tcp { flags, .. } => !(answers && opens_tcp(*flags)),
            Transport::Icmp(IcmpKind::Request { .. }) => !answers,
            Transport::Icmp(IcmpKind::Reply { .. }) => answers,
            _ => true,
        }
    }

    /// Notes that a packet of the flow passed.
    pub(crate) fn touch(&mut self, direction: Direction, transport: &Transport, now: Instant) {
        self.last_seen = self.last_seen.max(now);
        if direction != self.initiator && self.phase == Phase::Opening {
            self.phase = Phase::Established;
        }
        if let Transport::Tcp { flags, .. } = transport {
            if flags & (FIN | RST) != 0 {
                self.phase = Phase::Closing;
            } else if opens_tcp(*flags) {
                self.phase = Phase::Opening;
            }
        }
    }
}

/// True when a packet that belongs to no flow may start one. TCP is picked up in the middle, in the direction that the
/// policy allows, so that connections outlive a restart of the engine.
pub(crate) fn starts_flow(transport: &Transport) -> bool {
    match transport {
        Transport::Icmp(IcmpKind::Reply { .. } | IcmpKind::Error(_)) | Transport::Absent => false,
        Transport::Icmp(IcmpKind::Request { .. } | IcmpKind::Other) => true,
        Transport::Tcp { .. } | Transport::Udp { .. } | Transport::Other => true,
    }
}

fn opens_tcp(flags: u8) -> bool {
    flags & (SYN | ACK) == SYN
}
