//! Where peers may be reached: unsigned, so bounded and taken for no more than a place to knock at.

use std::net::{IpAddr, SocketAddr};

use cloudvlan_gen::cloudvlan::entity::v1 as entity;

use crate::MAX_ENDPOINTS;

/// The usable endpoints of a hint, each once, at most [`MAX_ENDPOINTS`]. What is unusable is left out: a peer's bad
/// report must not make a map unusable for others.
pub fn usable(endpoints: &[entity::NodeEndpoint]) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for endpoint in endpoints {
        let address = endpoint.address.parse::<IpAddr>().map(|address| address.to_canonical());
        let port = u16::try_from(endpoint.port).unwrap_or(0);
        if let Ok(address) = address
            && is_unicast(address)
            && port != 0
            && !found.contains(&SocketAddr::new(address, port))
            && found.len() < MAX_ENDPOINTS
        {
            found.push(SocketAddr::new(address, port));
        }
    }
    found
}

pub(crate) fn to_wire(endpoints: &[SocketAddr]) -> Vec<entity::NodeEndpoint> {
    let wire = |endpoint: &SocketAddr| entity::NodeEndpoint {
        address: endpoint.ip().to_string(),
        port: u32::from(endpoint.port()),
    };
    endpoints.iter().map(wire).collect()
}

fn is_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || broadcast)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: &str, port: u32) -> entity::NodeEndpoint {
        entity::NodeEndpoint {
            address: address.into(),
            port,
        }
    }

    #[test]
    fn keeps_the_usable_ones_in_order_and_bounded() {
        let bad = [
            endpoint("0.0.0.0", 1),
            endpoint("224.0.0.1", 1),
            endpoint("255.255.255.255", 1),
            endpoint("example.org", 1),
            endpoint("192.0.2.1", 0),
            endpoint("192.0.2.1", 70_000),
            endpoint("192.0.2.1", 7),
            endpoint("::ffff:192.0.2.1", 7),
            endpoint("2001:db8::1", 7),
        ];
        let expected: Vec<SocketAddr> = ["192.0.2.1:7", "[2001:db8::1]:7"]
            .map(|text| text.parse().unwrap())
            .into();
        assert_eq!(usable(&bad), expected);
        let many: Vec<_> = (1..100).map(|port| endpoint("192.0.2.1", port)).collect();
        assert_eq!(usable(&many).len(), MAX_ENDPOINTS);
    }
}
