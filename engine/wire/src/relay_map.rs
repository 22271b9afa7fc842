//! The relay map of a cvlan, checked field by field.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use cloudvlan_gen::cloudvlan::entity::v1 as entity;

use crate::dns::is_label;
use crate::prefix::address_from_bytes;
use crate::record::{RecordError, is_broadcast, text};

/// Servers of a relay map.
pub const MAX_SERVERS: usize = 64;
/// Endpoints of one server.
pub const MAX_SERVER_ENDPOINTS: usize = 4;

/// The servers of the platform that help the nodes of a cvlan to reach each other. There may be none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayMap {
    /// Grows with each change of the record.
    pub record_revision: u64,
    /// At most [`MAX_SERVERS`], in the order of the record; ids and endpoints are each named once.
    pub servers: Vec<Server>,
}

/// A server that answers STUN (RFC 8489) over UDP at each of its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Typed id; the same as long as the server is registered, whatever else of it changes.
    pub id: String,
    /// Name of the region where it stands: a DNS label.
    pub region: String,
    /// 1 to [`MAX_SERVER_ENDPOINTS`] of either family, in the order of the record: unicast, maybe private or loopback;
    /// no IPv4 address in IPv6 form, no port 0.
    pub endpoints: Vec<SocketAddr>,
}

impl TryFrom<&entity::RelayMap> for RelayMap {
    type Error = RecordError;

    fn try_from(record: &entity::RelayMap) -> Result<Self, RecordError> {
        if record.servers.len() > MAX_SERVERS {
            return Err(RecordError::new("servers", format!("more than {MAX_SERVERS}")));
        }
        let servers = record.servers.iter().map(server).collect::<Result<Vec<_>, _>>()?;
        let (mut ids, mut endpoints) = (BTreeSet::new(), BTreeSet::new());
        if !servers.iter().all(|server| ids.insert(&server.id)) {
            return Err(RecordError::new("servers.id", "is that of two servers"));
        }
        if !servers
            .iter()
            .flat_map(|server| &server.endpoints)
            .all(|endpoint| endpoints.insert(endpoint))
        {
            return Err(RecordError::new("servers.endpoints", "the same one twice"));
        }
        Ok(Self {
            record_revision: record.record_revision,
            servers,
        })
    }
}

fn server(server: &entity::RelayMapServer) -> Result<Server, RecordError> {
    if !is_label(&server.region) {
        return Err(RecordError::new("servers.region", "is not the name of a region"));
    }
    if !(1..=MAX_SERVER_ENDPOINTS).contains(&server.endpoints.len()) {
        let problem = format!("are not 1 to {MAX_SERVER_ENDPOINTS}");
        return Err(RecordError::new("servers.endpoints", problem));
    }
    Ok(Server {
        id: text("servers.id", &server.id, 1)?,
        region: server.region.clone(),
        endpoints: server.endpoints.iter().map(endpoint).collect::<Result<_, _>>()?,
    })
}

fn endpoint(endpoint: &entity::ServerEndpoint) -> Result<SocketAddr, RecordError> {
    let unusable = || RecordError::new("servers.endpoints", "is not the address and port of a server");
    let address = address_from_bytes(&endpoint.address).map_err(|_| unusable())?;
    let port = u16::try_from(endpoint.port).map_err(|_| unusable())?;
    let is_one_host = !(address.is_unspecified() || address.is_multicast() || is_broadcast(address));
    if is_one_host && address == address.to_canonical() && port != 0 {
        Ok(SocketAddr::new(address, port))
    } else {
        Err(unusable())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: &[u8], port: u32) -> entity::ServerEndpoint {
        entity::ServerEndpoint {
            address: address.to_vec(),
            port,
        }
    }

    fn server(number: u8) -> entity::RelayMapServer {
        entity::RelayMapServer {
            id: format!("discoveryserver_{number}"),
            region: "eu-west".into(),
            endpoints: vec![endpoint(&[192, 0, 2, number], 3478)],
        }
    }

    fn parse(servers: Vec<entity::RelayMapServer>) -> Result<RelayMap, RecordError> {
        RelayMap::try_from(&entity::RelayMap {
            record_revision: 7,
            servers,
            ..entity::RelayMap::default()
        })
    }

    fn with_endpoints(endpoints: Vec<entity::ServerEndpoint>) -> Result<RelayMap, RecordError> {
        parse(vec![entity::RelayMapServer { endpoints, ..server(1) }])
    }

    const LOOPBACK: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

    #[test]
    fn a_record_is_taken_as_it_is() {
        let endpoints = vec![endpoint(&[10, 0, 0, 1], 3478), endpoint(&LOOPBACK, 65_535)];
        let map = with_endpoints(endpoints).unwrap();
        assert_eq!(map.record_revision, 7);
        let expected = Server {
            id: "discoveryserver_1".into(),
            region: "eu-west".into(),
            endpoints: ["10.0.0.1:3478", "[::1]:65535"]
                .map(|text| text.parse().unwrap())
                .into(),
        };
        assert_eq!(map.servers, [expected]);
        assert_eq!(parse(Vec::new()).unwrap().servers, []);
        assert_eq!(parse((0..64).map(server).collect()).unwrap().servers.len(), MAX_SERVERS);
    }

    #[test]
    fn what_is_too_much_or_twice_is_refused() {
        assert!(parse((0..65).map(server).collect()).is_err());
        let many = |count: u8| (0..count).map(|n| endpoint(&[192, 0, 2, n], 1)).collect();
        assert!(with_endpoints(many(4)).is_ok());
        assert!(with_endpoints(many(5)).is_err());
        assert!(with_endpoints(Vec::new()).is_err());
        let same_id = entity::RelayMapServer {
            id: server(1).id,
            ..server(2)
        };
        assert!(parse(vec![server(1), same_id]).is_err());
        let same_endpoint = entity::RelayMapServer {
            id: server(2).id,
            ..server(1)
        };
        assert!(parse(vec![server(1), same_endpoint]).is_err());
        assert!(with_endpoints(vec![endpoint(&[192, 0, 2, 1], 1); 2]).is_err());
    }

    #[test]
    fn what_is_no_server_is_refused() {
        let mapped = [&[0; 10][..], &[255, 255, 192, 0, 2, 1]].concat();
        let group = [&[0xff, 2][..], &[0; 13], &[1]].concat();
        for address in [
            &[0, 0, 0, 0][..],
            &[0; 16],
            &[224, 0, 0, 1],
            &[255, 255, 255, 255],
            &group,
            &mapped,
            &[],
            &[192, 0, 2],
            &[192, 0, 2, 1, 1],
        ] {
            assert!(with_endpoints(vec![endpoint(address, 3478)]).is_err(), "{address:?}");
        }
        for port in [0, 65_536] {
            assert!(with_endpoints(vec![endpoint(&[192, 0, 2, 1], port)]).is_err(), "{port}");
        }
        for region in ["", "eu west", "EU", "-eu", "eu.west", "a".repeat(64).as_str()] {
            let elsewhere = entity::RelayMapServer {
                region: region.into(),
                ..server(1)
            };
            assert!(parse(vec![elsewhere]).is_err(), "{region:?}");
        }
        for id in ["", "a b", "a".repeat(65).as_str()] {
            let other = entity::RelayMapServer {
                id: id.into(),
                ..server(1)
            };
            assert!(parse(vec![other]).is_err(), "{id:?}");
        }
    }
}
