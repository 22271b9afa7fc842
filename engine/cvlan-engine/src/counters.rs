//! What the data path counts. Each count only grows; the names are part of the contract.

use crate::userspace::Refused;
use cvlan_wg::Wg;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a packet went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// No IP packet, or one that contradicts itself.
    Malformed,
    /// Outbound: not from this node or behind it. Inbound: not from the peer whose tunnel it came through.
    Source,
    /// Outbound: nobody has the destination.
    NoRoute,
    /// Inbound: not for this node or behind it.
    Destination,
    /// No rule allows it, or one denies it.
    Filter,
    /// The map is stale and its policy stops this packet.
    Stale,
    /// Outbound: sealed already, and back again.
    Loop,
    /// Outbound: longer than its path carries, and not to be cut into fragments; its sender was told.
    TooBig,
    /// Inbound: it met congestion on the way and its transport would not hear of it (RFC 6040 section 4.2).
    Congestion,
}

/// Counts of one direction.
#[derive(Debug, Default)]
pub struct Dropped {
    malformed: AtomicU64,
    source: AtomicU64,
    no_route: AtomicU64,
    destination: AtomicU64,
    filter: AtomicU64,
    stale: AtomicU64,
    looped: AtomicU64,
    congestion: AtomicU64,
    too_big: AtomicU64,
}

impl Dropped {
    /// Counts so many packets.
    pub fn count(&self, why: Drop, packets: u64) {
        let counter = match why {
            Drop::Malformed => &self.malformed,
            Drop::Source => &self.source,
            Drop::NoRoute => &self.no_route,
            Drop::Destination => &self.destination,
            Drop::Filter => &self.filter,
            Drop::Stale => &self.stale,
            Drop::Loop => &self.looped,
            Drop::TooBig => &self.too_big,
            Drop::Congestion => &self.congestion,
        };
        add(counter, packets);
    }
}

/// All counts of the data path but those of the WireGuard state.
#[derive(Debug, Default)]
pub struct Counters {
    /// Packets from the interface that were sealed and handed to the kernel.
    pub tx_packets: AtomicU64,
    /// UDP payload bytes of these.
    pub tx_bytes_sealed: AtomicU64,
    /// Packets from the interface or from a ping that went no further.
    pub tx_dropped: Dropped,
    /// Sealed packets that the kernel refused to send.
    pub tx_dropped_send: AtomicU64,
    /// Packets that were opened, judged and written to the interface.
    pub rx_packets: AtomicU64,
    /// UDP payload bytes of these.
    pub rx_bytes_sealed: AtomicU64,
    /// Opened packets that went no further.
    pub rx_dropped: Dropped,
    /// Datagrams that are no WireGuard messages.
    pub rx_dropped_no_wireguard: AtomicU64,
    /// Packets that the interface refused: it is down or its queue is full.
    pub rx_dropped_interface: AtomicU64,
    /// Handshake messages that came faster than they are worked off.
    pub rx_dropped_queue: AtomicU64,
    /// Packets that were cut into fragments, because their path does not carry them whole and their sender allows it.
    pub tx_fragmented: AtomicU64,
    /// TCP connections, both directions, that were told a smaller segment size because of their path.
    pub tcp_segments_lowered: AtomicU64,
    /// Probes of paths that were sent.
    pub mtu_probes_sent: AtomicU64,
    /// Answers to these.
    pub mtu_probes_answered: AtomicU64,
    /// Probes of others that were answered.
    pub mtu_probes_served: AtomicU64,
    /// Paths that carried a size and then swallowed it.
    pub mtu_black_holes: AtomicU64,
    /// Of the userspace mode.
    pub userspace: UserspaceCounters,
}

/// What the userspace mode counts.
#[derive(Debug, Default)]
pub struct UserspaceCounters {
    /// Connections and associations that the proxy made.
    pub proxy_connections: AtomicU64,
    /// Destinations that the policy or a stale map forbids.
    proxy_refused_policy: AtomicU64,
    /// Destinations that are unknown or outside the overlay.
    proxy_refused_destination: AtomicU64,
    /// Destinations that refused or did not answer.
    proxy_failed: AtomicU64,
    /// Clients and connections past a bound.
    pub proxy_refused_busy: AtomicU64,
    /// Requests that are neither SOCKS 5 nor HTTP as a proxy understands them.
    pub proxy_refused_malformed: AtomicU64,
    /// Connections and UDP conversations that forwards carried.
    pub forward_connections: AtomicU64,
    /// Connections and datagrams that a forward did not carry.
    pub forward_refused: AtomicU64,
    stack_dropped_unwanted: AtomicU64,
    stack_dropped_connections: AtomicU64,
    stack_dropped_datagrams: AtomicU64,
    stack_dropped_replies: AtomicU64,
}

impl UserspaceCounters {
    /// Counts what the proxy refuses.
    pub fn refused(&self, why: Refused) {
        let counter = match why {
            Refused::Policy | Refused::Stale => &self.proxy_refused_policy,
            Refused::Unknown | Refused::Outside | Refused::Own | Refused::Family => &self.proxy_refused_destination,
            Refused::Rejected | Refused::Silent => &self.proxy_failed,
            Refused::Busy => &self.proxy_refused_busy,
        };
        add(counter, 1);
    }

    /// Takes over what the stack counted.
    pub fn follow(&self, stack: &cvlan_netstack::Counters) {
        for (counter, count) in [
            (&self.stack_dropped_unwanted, stack.dropped_unwanted),
            (&self.stack_dropped_connections, stack.dropped_connections),
            (&self.stack_dropped_datagrams, stack.dropped_datagrams),
            (&self.stack_dropped_replies, stack.dropped_replies),
        ] {
            counter.fetch_max(count, Ordering::Relaxed);
        }
    }
}

/// Adds to a count.
pub fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Counters {
    /// All counts by their stable name.
    #[must_use]
    pub fn named(&self, wg: &Wg) -> BTreeMap<String, u64> {
        let all = self.all(wg).into_iter();
        let mut named: BTreeMap<_, _> = all
            .map(|(name, counter)| (name.to_owned(), counter.load(Ordering::Relaxed)))
            .collect();
        // Some are found out when a packet is opened, others when it is judged.
        if let Some(count) = named.get_mut("rx_dropped_malformed") {
            *count += wg.counters().rx_dropped_malformed.load(Ordering::Relaxed);
        }
        named
    }

    /// Goes on from what another process counted.
    pub fn adopt(&self, counted: &BTreeMap<String, u64>, wg: &Wg) {
        for (name, counter) in self.all(wg) {
            add(counter, counted.get(name).copied().unwrap_or(0));
        }
    }

    fn all<'a>(&'a self, wg: &'a Wg) -> Vec<(&'static str, &'a AtomicU64)> {
        let (w, u) = (wg.counters(), &self.userspace);
        vec![
            ("tx_packets", &self.tx_packets),
            ("tx_bytes_sealed", &self.tx_bytes_sealed),
            ("tx_dropped_malformed", &self.tx_dropped.malformed),
            ("tx_dropped_source", &self.tx_dropped.source),
            ("tx_dropped_no_route", &self.tx_dropped.no_route),
            ("tx_dropped_filter", &self.tx_dropped.filter),
            ("tx_dropped_stale", &self.tx_dropped.stale),
            ("tx_dropped_loop", &self.tx_dropped.looped),
            ("tx_dropped_too_big", &self.tx_dropped.too_big),
            ("tx_dropped_no_session", &w.tx_dropped_no_session),
            ("tx_dropped_queue", &w.tx_dropped_queue),
            ("tx_dropped_send", &self.tx_dropped_send),
            ("tx_fragmented", &self.tx_fragmented),
            ("tcp_segments_lowered", &self.tcp_segments_lowered),
            ("mtu_probes_sent", &self.mtu_probes_sent),
            ("mtu_probes_answered", &self.mtu_probes_answered),
            ("mtu_probes_served", &self.mtu_probes_served),
            ("mtu_black_holes", &self.mtu_black_holes),
            ("rx_packets", &self.rx_packets),
            ("rx_bytes_sealed", &self.rx_bytes_sealed),
            ("rx_dropped_malformed", &self.rx_dropped.malformed),
            ("rx_dropped_source", &self.rx_dropped.source),
            ("rx_dropped_destination", &self.rx_dropped.destination),
            ("rx_dropped_filter", &self.rx_dropped.filter),
            ("rx_dropped_stale", &self.rx_dropped.stale),
            ("rx_dropped_congestion", &self.rx_dropped.congestion),
            ("rx_dropped_unknown_peer", &w.rx_dropped_unknown_peer),
            ("rx_dropped_auth", &w.rx_dropped_auth),
            ("rx_dropped_no_wireguard", &self.rx_dropped_no_wireguard),
            ("rx_dropped_interface", &self.rx_dropped_interface),
            ("rx_dropped_queue", &self.rx_dropped_queue),
            ("proxy_connections", &u.proxy_connections),
            ("proxy_refused_policy", &u.proxy_refused_policy),
            ("proxy_refused_destination", &u.proxy_refused_destination),
            ("proxy_refused_busy", &u.proxy_refused_busy),
            ("proxy_refused_malformed", &u.proxy_refused_malformed),
            ("proxy_failed", &u.proxy_failed),
            ("forward_connections", &u.forward_connections),
            ("forward_refused", &u.forward_refused),
            ("stack_dropped_unwanted", &u.stack_dropped_unwanted),
            ("stack_dropped_connections", &u.stack_dropped_connections),
            ("stack_dropped_datagrams", &u.stack_dropped_datagrams),
            ("stack_dropped_replies", &u.stack_dropped_replies),
            ("handshakes_initiated", &w.handshakes_initiated),
            ("handshakes_completed", &w.handshakes_completed),
            ("handshakes_refused", &w.handshakes_refused),
            ("handshakes_timed_out", &w.handshakes_timed_out),
        ]
    }
}
