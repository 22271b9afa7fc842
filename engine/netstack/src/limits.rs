//! What one stack holds at most.

use std::time::Duration;

/// Bounds of one stack. What would go past one is dropped or refused, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// TCP connections, ended ones that wait among them.
    pub connections: usize,
    /// Of these, with one remote address.
    pub connections_per_remote: usize,
    /// Connections that others began and have not completed.
    pub half_open: usize,
    /// Of these, of one remote address.
    pub half_open_per_remote: usize,
    /// Bytes of each of the two buffers of a connection, which is also the window.
    pub buffer: usize,
    /// Bytes of these once half of `memory` is taken.
    pub small_buffer: usize,
    /// Bytes of the buffers of all connections.
    pub memory: usize,
    /// Packets that wait to be taken.
    pub outbound: usize,
    /// UDP ports.
    pub udp_ports: usize,
    /// Datagrams that wait at one UDP port.
    pub udp_queue: usize,
    /// Bytes that wait at all UDP ports.
    pub udp_memory: usize,
    /// Resets and ICMP errors a second for packets that nobody expects.
    pub replies_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_per_remote: 256,
            half_open: 64,
            half_open_per_remote: 16,
            buffer: 256 << 10,
            small_buffer: 32 << 10,
            memory: 64 << 20,
            outbound: 256,
            udp_ports: 1024,
            udp_queue: 64,
            udp_memory: 8 << 20,
            replies_per_second: 500,
        }
    }
}

/// How long a connection that another began may stay half open.
pub(crate) const HALF_OPEN_TIME: Duration = Duration::from_secs(10);
/// How long a connection that was let go may take to end by itself.
pub(crate) const ORPHAN_TIME: Duration = Duration::from_secs(120);
/// How long the other side may be silent while it owes an answer, as long as Linux waits with its defaults.
pub(crate) const SILENCE: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(15 * 60);
/// How often an idle connection is probed.
pub(crate) const KEEP_ALIVE: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(60);
