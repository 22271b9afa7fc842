//! What the stack counts. Each count only grows.

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that are no whole IP packet for one of the addresses of this stack: fragments, addresses behind the node.
    pub dropped_unwanted: u64,
    /// Segments that would have begun a connection past a bound.
    pub dropped_connections: u64,
    /// Datagrams past the bounds of a UDP port, or with a wrong checksum.
    pub dropped_datagrams: u64,
    /// Resets and ICMP errors that were not sent: too many a second, or packets wait to be taken.
    pub dropped_replies: u64,
    /// Connections that stand now.
    pub connections: u64,
}
