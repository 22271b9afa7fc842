//! What comes from outside, parsed into checked types: IP packets, prefixes and the records of the network map.
//!
//! Nothing here panics, allocates per packet or trusts a length field.

pub mod dns;
pub mod packet;
pub mod prefix;
pub mod prefix_map;
pub mod record;
pub mod relay_map;

pub use dns::{Dns, DnsRoute};
pub use packet::{Fragment, IcmpKind, Meta, Port, Protocol, Quoted, Transport};
pub use prefix::{Prefix, PrefixError};
pub use prefix_map::PrefixMap;
pub use record::{
    Action, Node, NodeKind, PeerHandle, PortRange, RecordError, Rule, RuleId, RuleProtocol, Selector, SelectorId,
    Tunnel,
};
pub use relay_map::{RelayMap, Server};
