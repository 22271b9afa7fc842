//! Node and rule records, checked field by field.
//!
//! A record that parses can be compiled without a further check; whether it may be believed is the map crate's matter.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cloudvlan_gen::cloudvlan::entity::v1 as entity;

use crate::prefix::{Prefix, PrefixError};

/// A peer inside one engine process: small, never reused, meaningless elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerHandle(pub u32);

/// Opaque id of a tag or group.
pub type SelectorId = [u8; 16];

/// Id of a rule, stable for a rule of the same name.
pub type RuleId = [u8; 16];

/// Overlay addresses of one node.
pub const MAX_ADDRESSES: usize = 16;
/// Bytes of an id or a name.
pub const MAX_NAME: usize = 64;

/// A node of the cvlan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Typed id.
    pub node_id: String,
    /// Grows with each change of the record.
    pub record_revision: u64,
    /// DNS label.
    pub name: String,
    /// Its role.
    pub kind: NodeKind,
    /// X25519.
    pub wireguard_public_key: [u8; 32],
    /// Overlay addresses, in the order of the record.
    pub addresses: Vec<IpAddr>,
    /// Tags and groups.
    pub selectors: BTreeSet<SelectorId>,
    /// Prefixes behind the node.
    pub routes: Vec<Prefix>,
    /// Node that carries traffic for this one.
    pub via: Option<String>,
    /// Capability version.
    pub capability_version: u32,
}

/// Role of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A machine.
    Agent,
    /// A relay.
    Relay,
    /// A virtual router.
    Vrouter,
}

/// A rule of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable id.
    pub id: RuleId,
    /// Policy version that last changed the rule.
    pub policy_version: u64,
    /// What people call it.
    pub name: String,
    /// Allow or deny.
    pub action: Action,
    /// Whom packets come from.
    pub sources: Vec<Selector>,
    /// Whom packets go to.
    pub destinations: Vec<Selector>,
    /// Protocol of the packets.
    pub protocol: RuleProtocol,
    /// Destination ports; empty means all.
    pub ports: Vec<PortRange>,
    /// Tunnel that carries the packets.
    pub tunnel: Tunnel,
}

/// What a rule does. Deny beats every allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Lets packets pass.
    Allow,
    /// Drops packets.
    Deny,
}

/// Whom a rule means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Every node.
    Any,
    /// Nodes with a tag or in a group.
    Id(SelectorId),
    /// One node.
    Node(String),
    /// Addresses.
    Prefix(Prefix),
}

/// Which protocol a rule means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleProtocol {
    /// All.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
}

/// Ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest, 1 or more.
    pub first: u16,
    /// The highest, not below `first`.
    pub last: u16,
}

/// Which tunnel a rule means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunnel {
    /// All.
    Any,
    /// WireGuard.
    WireGuard,
    /// IPsec.
    Ipsec,
}

/// Why a record is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct RecordError {
    /// Field of the record, as the contract spells it.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl RecordError {
    pub(crate) fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self {
            field,
            problem: problem.into(),
        }
    }
}

impl TryFrom<&entity::NodeRecord> for Node {
    type Error = RecordError;

    fn try_from(record: &entity::NodeRecord) -> Result<Self, RecordError> {
        let kind = match record.kind() {
            entity::NodeKind::Agent => NodeKind::Agent,
            entity::NodeKind::Relay => NodeKind::Relay,
            entity::NodeKind::Vrouter => NodeKind::Vrouter,
            entity::NodeKind::Unspecified => return Err(RecordError::new("kind", "is unknown to this engine")),
        };
        let wireguard_public_key = fixed("wireguard_public_key", &record.wireguard_public_key)?;
        if wireguard_public_key == [0; 32] {
            return Err(RecordError::new("wireguard_public_key", "is zero"));
        }
        Ok(Self {
            node_id: text("node_id", &record.node_id, 1)?,
            record_revision: record.record_revision,
            name: text("name", &record.name, 0)?,
            kind,
            wireguard_public_key,
            addresses: addresses(&record.addresses)?,
            selectors: record
                .selectors
                .iter()
                .map(|id| fixed("selectors", id))
                .collect::<Result<_, _>>()?,
            routes: record
                .routes
                .iter()
                .map(|prefix| checked("routes", prefix))
                .collect::<Result<_, _>>()?,
            via: Some(text("via", &record.via, 0)?).filter(|via| !via.is_empty()),
            capability_version: record.capability_version,
        })
    }
}

impl TryFrom<&entity::RuleRecord> for Rule {
    type Error = RecordError;

    fn try_from(record: &entity::RuleRecord) -> Result<Self, RecordError> {
        let action = match record.action() {
            entity::PolicyAction::Allow => Action::Allow,
            entity::PolicyAction::Deny => Action::Deny,
            entity::PolicyAction::Unspecified => return Err(RecordError::new("action", "is neither allow nor deny")),
        };
        let protocol = match record.protocol() {
            entity::PolicyProtocol::Any => RuleProtocol::Any,
            entity::PolicyProtocol::Tcp => RuleProtocol::Tcp,
            entity::PolicyProtocol::Udp => RuleProtocol::Udp,
            entity::PolicyProtocol::Icmp => RuleProtocol::Icmp,
            entity::PolicyProtocol::Unspecified => {
                return Err(RecordError::new("protocol", "is unknown to this engine"));
            }
        };
        let tunnel = match entity::TunnelProtocol::try_from(record.tunnel) {
            Ok(entity::TunnelProtocol::Unspecified) => Tunnel::Any,
            Ok(entity::TunnelProtocol::Wireguard) => Tunnel::WireGuard,
            Ok(entity::TunnelProtocol::Ipsec) => Tunnel::Ipsec,
            Err(_) => return Err(RecordError::new("tunnel", "is unknown to this engine")),
        };
        if !record.ports.is_empty() && !matches!(protocol, RuleProtocol::Tcp | RuleProtocol::Udp) {
            return Err(RecordError::new("ports", "go only with TCP and UDP"));
        }
        Ok(Self {
            id: fixed("rule_id", &record.rule_id)?,
            policy_version: record.policy_version,
            name: text("name", &record.name, 0)?,
            action,
            sources: selectors("sources", &record.sources)?,
            destinations: selectors("destinations", &record.destinations)?,
            protocol,
            ports: record.ports.iter().map(port_range).collect::<Result<_, _>>()?,
            tunnel,
        })
    }
}

fn addresses(prefixes: &[entity::Prefix]) -> Result<Vec<IpAddr>, RecordError> {
    const FIELD: &str = "addresses";
    if prefixes.len() > MAX_ADDRESSES {
        return Err(RecordError::new(FIELD, format!("more than {MAX_ADDRESSES}")));
    }
    let mut found = Vec::with_capacity(prefixes.len());
    for prefix in prefixes {
        let prefix = checked(FIELD, prefix)?;
        let address = prefix.address();
        if !prefix.is_host() {
            return Err(RecordError::new(FIELD, "an overlay address is a /32 or /128"));
        }
        if address.is_unspecified() || address.is_multicast() || address.is_loopback() || is_broadcast(address) {
            return Err(RecordError::new(FIELD, "is not the address of one machine"));
        }
        if found.contains(&address) {
            return Err(RecordError::new(FIELD, "names an address twice"));
        }
        found.push(address);
    }
    Ok(found)
}

pub(crate) fn is_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.is_broadcast())
}

fn selectors(field: &'static str, targets: &[entity::RuleSelector]) -> Result<Vec<Selector>, RecordError> {
    use entity::rule_selector::Selector as Wire;
    if targets.is_empty() {
        return Err(RecordError::new(field, "is empty"));
    }
    targets
        .iter()
        .map(|target| match &target.selector {
            Some(Wire::Any(true)) => Ok(Selector::Any),
            Some(Wire::SelectorId(id)) => Ok(Selector::Id(fixed(field, id)?)),
            Some(Wire::NodeId(id)) => Ok(Selector::Node(text(field, id, 1)?)),
            Some(Wire::Prefix(prefix)) => Ok(Selector::Prefix(checked(field, prefix)?)),
            Some(Wire::Any(false)) | None => {
                Err(RecordError::new(field, "has a selector that is unknown to this engine"))
            }
        })
        .collect()
}

fn port_range(range: &entity::PortRange) -> Result<PortRange, RecordError> {
    const FIELD: &str = "ports";
    let port = |number: u32| u16::try_from(number).map_err(|_| RecordError::new(FIELD, "is above 65535"));
    let first = port(range.first)?;
    let last = if range.last == 0 { first } else { port(range.last)? };
    if first == 0 || last < first {
        return Err(RecordError::new(FIELD, "is not a range within 1 to 65535"));
    }
    Ok(PortRange { first, last })
}

fn checked(field: &'static str, prefix: &entity::Prefix) -> Result<Prefix, RecordError> {
    Prefix::try_from(prefix).map_err(|error: PrefixError| RecordError::new(field, error.to_string()))
}

fn fixed<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], RecordError> {
    bytes
        .try_into()
        .map_err(|_| RecordError::new(field, format!("has {} bytes instead of {N}", bytes.len())))
}

/// Printable ASCII without spaces, so that ids and names can be shown anywhere.
pub(crate) fn text(field: &'static str, value: &str, least: usize) -> Result<String, RecordError> {
    if !(least..=MAX_NAME).contains(&value.len()) || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(RecordError::new(
            field,
            format!("is not {least} to {MAX_NAME} printable ASCII characters"),
        ));
    }
    Ok(value.to_owned())
}
