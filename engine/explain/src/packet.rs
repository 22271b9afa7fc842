//! A packet from its description.

use cloudvlan_gen::cloudvlan::engine::v1 as engine;
use cvlan_wire::packet::tcp_flags;
use cvlan_wire::prefix::address_from_bytes;
use cvlan_wire::{IcmpKind, Meta, Protocol, Transport};

use crate::QuestionError;

/// The packet as the filter would see it: for ICMP an echo request, for TCP a segment within a connection, which starts
/// a flow as well as a SYN does and belongs to the flow that is there.
pub(crate) fn meta(field: &str, packet: &engine::Packet) -> Result<Meta, QuestionError> {
    let address = |name: &str, bytes: &[u8]| {
        address_from_bytes(bytes).map_err(|error| QuestionError::new(format!("{field}.{name}"), error.to_string()))
    };
    let port = |name: &str, number: u32| {
        u16::try_from(number).map_err(|_| QuestionError::new(format!("{field}.{name}"), "a port is at most 65535"))
    };
    let (source, destination) = (
        address("source", &packet.source)?,
        address("destination", &packet.destination)?,
    );
    if source.is_ipv4() != destination.is_ipv4() {
        return Err(QuestionError::new(field, "source and destination are of two families"));
    }
    let protocol = u8::try_from(packet.protocol)
        .map(Protocol)
        .map_err(|_| QuestionError::new(format!("{field}.protocol"), "an IP protocol number is at most 255"))?;
    let (from, to) = (
        port("source_port", packet.source_port)?,
        port("destination_port", packet.destination_port)?,
    );
    let transport = match protocol {
        Protocol::TCP => Transport::Tcp {
            source: from,
            destination: to,
            flags: tcp_flags::ACK,
        },
        Protocol::UDP => Transport::Udp {
            source: from,
            destination: to,
        },
        Protocol::ICMP if source.is_ipv4() => Transport::Icmp(IcmpKind::Request { identifier: 0 }),
        Protocol::ICMPV6 if source.is_ipv6() => Transport::Icmp(IcmpKind::Request { identifier: 0 }),
        _ => Transport::Other,
    };
    Ok(Meta {
        source,
        destination,
        protocol,
        transport,
        fragment: None,
        length: 0,
    })
}
