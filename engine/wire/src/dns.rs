//! The DNS record of a cvlan, checked field by field.

use std::net::{IpAddr, SocketAddr};

use cloudvlan_gen::cloudvlan::entity::v1 as entity;

use crate::prefix::{Prefix, PrefixError};
use crate::record::RecordError;

/// Longest name in text form without a trailing dot (RFC 1035, section 2.3.4: 255 bytes on the wire).
pub const MAX_DOMAIN: usize = 253;
/// Bytes of a label (RFC 1035, section 2.3.4).
pub const MAX_LABEL: usize = 63;
/// Suffixes that other servers answer for.
pub const MAX_DNS_ROUTES: usize = 64;
/// Servers of one suffix.
pub const MAX_UPSTREAMS: usize = 8;
/// Address pools of a cvlan.
pub const MAX_POOLS: usize = 16;

const DNS_PORT: u16 = 53;

/// How names are resolved in a cvlan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Grows with each change of the record.
    pub record_revision: u64,
    /// Nodes are `<name>.<domain>`; lower case, without a trailing dot.
    pub domain: String,
    /// Suffixes that other servers answer for.
    pub routes: Vec<DnsRoute>,
    /// Pools whose addresses have names here and nowhere else.
    pub prefixes: Vec<Prefix>,
}

/// Servers for the names under a suffix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsRoute {
    /// Lower case, without a trailing dot.
    pub suffix: String,
    /// Asked in turn.
    pub upstreams: Vec<SocketAddr>,
}

impl TryFrom<&entity::DnsRecord> for Dns {
    type Error = RecordError;

    fn try_from(record: &entity::DnsRecord) -> Result<Self, RecordError> {
        if record.routes.len() > MAX_DNS_ROUTES {
            return Err(RecordError::new("routes", format!("more than {MAX_DNS_ROUTES}")));
        }
        if record.prefixes.len() > MAX_POOLS {
            return Err(RecordError::new("prefixes", format!("more than {MAX_POOLS}")));
        }
        let pool = |prefix: &entity::Prefix| {
            Prefix::try_from(prefix).map_err(|error: PrefixError| RecordError::new("prefixes", error.to_string()))
        };
        Ok(Self {
            record_revision: record.record_revision,
            domain: domain("domain", &record.domain)?,
            routes: record.routes.iter().map(route).collect::<Result<_, _>>()?,
            prefixes: record.prefixes.iter().map(pool).collect::<Result<_, _>>()?,
        })
    }
}

impl From<&DnsRoute> for entity::DnsRoute {
    fn from(route: &DnsRoute) -> Self {
        Self {
            suffix: route.suffix.clone(),
            upstreams: route.upstreams.iter().copied().map(upstream_to_wire).collect(),
        }
    }
}

fn route(route: &entity::DnsRoute) -> Result<DnsRoute, RecordError> {
    Ok(DnsRoute {
        suffix: domain("routes.suffix", &route.suffix)?,
        upstreams: upstreams("routes.upstreams", &route.upstreams)?,
    })
}

/// The addresses of servers, port 53 where none is named.
///
/// # Errors
/// When there are more than [`MAX_UPSTREAMS`] or one is not the address of a machine.
pub fn upstreams(field: &'static str, upstreams: &[entity::DnsUpstream]) -> Result<Vec<SocketAddr>, RecordError> {
    if upstreams.len() > MAX_UPSTREAMS {
        return Err(RecordError::new(field, format!("more than {MAX_UPSTREAMS}")));
    }
    upstreams
        .iter()
        .map(|upstream| {
            let address = upstream
                .address
                .parse::<IpAddr>()
                .ok()
                .map(|address| address.to_canonical());
            let port = u16::try_from(upstream.port).ok();
            match (address, port) {
                (Some(address), Some(port)) if !address.is_unspecified() && !address.is_multicast() => {
                    Ok(SocketAddr::new(address, if port == 0 { DNS_PORT } else { port }))
                }
                _ => Err(RecordError::new(field, "is not the address of a server")),
            }
        })
        .collect()
}

/// The contract's form of a server.
pub fn upstream_to_wire(upstream: SocketAddr) -> entity::DnsUpstream {
    entity::DnsUpstream {
        address: upstream.ip().to_string(),
        port: upstream.port().into(),
    }
}

/// True for a label of a host name as the control plane gives them out: lower case, at most 63 bytes.
pub fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn domain(field: &'static str, name: &str) -> Result<String, RecordError> {
    if name.len() > MAX_DOMAIN || !name.split('.').all(is_label) {
        return Err(RecordError::new(
            field,
            "is not a domain name in lower case without a trailing dot",
        ));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(domain: &str, suffix: &str, address: &str) -> Result<Dns, RecordError> {
        Dns::try_from(&entity::DnsRecord {
            domain: domain.into(),
            routes: vec![entity::DnsRoute {
                suffix: suffix.into(),
                upstreams: vec![entity::DnsUpstream {
                    address: address.into(),
                    port: 0,
                }],
            }],
            ..entity::DnsRecord::default()
        })
    }

    #[test]
    fn a_record_is_taken_with_the_port_filled_in() {
        let dns = record("main.cvlan.internal", "corp", "100.64.0.9").unwrap();
        assert_eq!(dns.routes[0].upstreams, ["100.64.0.9:53".parse().unwrap()]);
    }

    #[test]
    fn what_is_no_name_or_no_server_is_refused() {
        let long = "a".repeat(64);
        let longer = [long.get(1..).unwrap(); 4].join(".");
        for domain in [
            "",
            ".",
            "a..b",
            "Upper",
            "trailing.",
            "-a",
            "a-",
            "ü",
            long.as_str(),
            longer.as_str(),
        ] {
            assert!(record(domain, "corp", "192.0.2.1").is_err(), "{domain:?}");
            assert!(record("corp", domain, "192.0.2.1").is_err(), "{domain:?}");
        }
        for address in [
            "",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "example.org",
            "192.0.2.1:53",
        ] {
            assert!(record("corp", "lan", address).is_err(), "{address}");
        }
    }
}
