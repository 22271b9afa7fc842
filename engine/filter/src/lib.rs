//! The judge of packets: deny by default, deny before allow, no order.
//!
//! [`Compiled`] is the policy of one node against its peers, made of the map and changed with it. [`Flows`] remembers what was
//! allowed, so that answers pass, and asks the policy again when it changed.
//!
//! A rule's selectors of nodes (`any`, a tag or group, a node) mean the nodes' own overlay addresses. What lies behind a
//! node is allowed only by a prefix that holds the address; a deny of the node also denies what lies behind it.

mod cache;
mod entry;
mod flow;
mod flows;
mod fragments;
mod matrix;
mod policy;
mod ports;

pub use entry::RuleCount;
pub use flow::{Admission, Basis, Judgement};
pub use flows::{FlowState, Flows, Stage};
pub use policy::{Compiled, Verdict};

/// Which way a packet goes, seen from this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To a peer.
    Outbound,
    /// From a peer.
    Inbound,
}

impl Direction {
    /// The other way.
    pub fn reverse(self) -> Self {
        match self {
            Self::Outbound => Self::Inbound,
            Self::Inbound => Self::Outbound,
        }
    }
}
