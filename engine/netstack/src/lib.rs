//! The network stack of a node without an interface of its own, sans-IO: packets and time go in, packets and deadlines
//! come out, and in between there are TCP connections and UDP ports by handle.
//!
//! TCP and the answers to ICMP are smoltcp's. What stands around it here: which connection a packet belongs to (by hash,
//! not by a walk over all sockets), how connections begin without a socket waiting for each, and the bounds: connections,
//! half-open ones, memory, replies to nobody. A reader that does not read closes its window; a sender whose packets are not
//! taken waits.
//!
//! Fragments are not reassembled: a node announces an MTU, and TCP keeps to it.

mod connection;
mod counters;
mod device;
mod limits;
mod mark;
mod stack;
mod table;
mod udp;

pub use connection::{ConnectionId, Read, Write};
pub use counters::Counters;
pub use limits::Limits;
pub use stack::{OpenError, Stack};
pub use udp::{Datagram, PortId, SendError};
