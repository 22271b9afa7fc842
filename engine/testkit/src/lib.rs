//! A tenant with all its keys, for tests: signs whatever it is given, also what no controller would sign.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use cloudvlan_gen::cloudvlan::engine::v1 as engine;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use ed25519_dalek::{Signer, SigningKey};
use prost::Message;

/// Tenant id of every [`Tenant`].
pub const TENANT: &str = "tenant_test";
/// Cvlan id of every [`Tenant`].
pub const CVLAN: &str = "cvlan_test";

/// A tenant with one cvlan.
pub struct Tenant {
    /// Signs keysets.
    pub root: SigningKey,
    /// Signs node and DNS records and relay maps.
    pub enrol: SigningKey,
    /// Signs rules.
    pub policy: SigningKey,
    /// Signs heads.
    pub map: SigningKey,
    /// What records are dated from.
    pub now: SystemTime,
}

impl Tenant {
    /// A tenant whose keys follow from `seed` and are valid for a year around `now`.
    pub fn new(seed: u8, now: SystemTime) -> Self {
        let key = |role: u8| SigningKey::from_bytes(&[seed.wrapping_mul(8).wrapping_add(role); 32]);
        Self {
            root: key(1),
            enrol: key(2),
            policy: key(3),
            map: key(4),
            now,
        }
    }

    /// The membership of a node.
    pub fn membership(&self, node_id: &str) -> engine::Membership {
        engine::Membership {
            tenant_id: TENANT.into(),
            cvlan_id: CVLAN.into(),
            node_id: node_id.into(),
            root_public_key: self.root.verifying_key().to_bytes().to_vec(),
        }
    }

    /// The keyset as a message: `enrol`, `policy` and `map`.
    pub fn keyset(&self, version: u64) -> entity::Keyset {
        const HALF_A_YEAR: Duration = Duration::from_secs(183 * 24 * 3600);
        let key = |id: &str, role: entity::KeyRole, key: &SigningKey| entity::DelegatedKey {
            key_id: id.into(),
            role: role.into(),
            public_key: key.verifying_key().to_bytes().to_vec(),
            not_before: Some((self.now - HALF_A_YEAR).into()),
            not_after: Some((self.now + HALF_A_YEAR).into()),
        };
        entity::Keyset {
            tenant_id: TENANT.into(),
            version,
            keys: vec![
                key("enrol", entity::KeyRole::Enrol, &self.enrol),
                key("policy", entity::KeyRole::Policy, &self.policy),
                key("map", entity::KeyRole::Map, &self.map),
            ],
            issued_at: Some(self.now.into()),
        }
    }

    /// Signs a keyset.
    pub fn sign_keyset(&self, keyset: &entity::Keyset) -> Vec<u8> {
        sign("keyset", "root", &self.root, keyset)
    }

    /// Puts the root key of `seed` in the place of the present one, which signs that; returns the signed transition.
    pub fn rotate_root(&mut self, sequence: u64, seed: u8) -> Vec<u8> {
        let next = SigningKey::from_bytes(&[seed; 32]);
        let former = std::mem::replace(&mut self.root, next);
        let transition = entity::RootTransition {
            tenant_id: TENANT.into(),
            sequence,
            root_public_key: self.root.verifying_key().to_bytes().to_vec(),
            issued_at: Some(self.now.into()),
            former_root_public_key: former.verifying_key().to_bytes().to_vec(),
        };
        sign("root", "root", &former, &transition)
    }

    /// Signs a node record.
    pub fn sign_node(&self, node: &entity::NodeRecord) -> Vec<u8> {
        sign("node", "enrol", &self.enrol, node)
    }

    /// Signs a DNS record.
    pub fn sign_dns(&self, dns: &entity::DnsRecord) -> Vec<u8> {
        sign("dns", "enrol", &self.enrol, dns)
    }

    /// Signs a relay map.
    pub fn sign_relay_map(&self, map: &entity::RelayMap) -> Vec<u8> {
        sign("relay-map", "enrol", &self.enrol, map)
    }

    /// Signs a rule.
    pub fn sign_rule(&self, rule: &entity::RuleRecord) -> Vec<u8> {
        sign("rule", "policy", &self.policy, rule)
    }

    /// Signs a head.
    pub fn sign_head(&self, head: &entity::MapHead) -> Vec<u8> {
        sign("head", "map", &self.map, head)
    }

    /// A head that is good for an hour, issued `age` seconds after [`Tenant::now`].
    pub fn head(&self, epoch: u64, revision: u64, age: u64) -> entity::MapHead {
        let issued_at = self.now + Duration::from_secs(age);
        entity::MapHead {
            tenant_id: TENANT.into(),
            cvlan_id: CVLAN.into(),
            epoch,
            revision,
            issued_at: Some(issued_at.into()),
            expires_at: Some((issued_at + Duration::from_secs(3600)).into()),
            keyset_version: 1,
            stale_policy: entity::StalePolicy::Keep.into(),
        }
    }

    /// A full map of keyset version 1 and epoch 1.
    pub fn full(&self, revision: u64, nodes: &[entity::NodeRecord], rules: &[entity::RuleRecord]) -> entity::MapUpdate {
        entity::MapUpdate {
            full: true,
            keyset: self.sign_keyset(&self.keyset(1)),
            ..self.delta(0, revision, nodes, rules)
        }
    }

    /// A step from one revision to another in epoch 1.
    pub fn delta(
        &self,
        previous: u64,
        revision: u64,
        nodes: &[entity::NodeRecord],
        rules: &[entity::RuleRecord],
    ) -> entity::MapUpdate {
        entity::MapUpdate {
            previous,
            revision,
            head: self.sign_head(&self.head(1, revision, revision)),
            nodes: nodes.iter().map(|node| self.sign_node(node)).collect(),
            rules: rules.iter().map(|rule| self.sign_rule(rule)).collect(),
            ..entity::MapUpdate::default()
        }
    }
}

/// Signs any message in any domain with any key.
pub fn sign(domain: &str, key_id: &str, key: &SigningKey, record: &impl Message) -> Vec<u8> {
    let payload = record.encode_to_vec();
    let message = [b"cloudvlan/", domain.as_bytes(), b"/v1\0", &payload].concat();
    let signature = key.sign(&message).to_bytes().to_vec();
    entity::Signed {
        key_id: key_id.into(),
        payload,
        signature,
    }
    .encode_to_vec()
}

/// A node `node_<number>` with address 100.64.0.`number`, fd00::`number` and this WireGuard key.
pub fn node(number: u8, wireguard_public_key: [u8; 32]) -> entity::NodeRecord {
    let mut v6 = [0; 16];
    (v6[0], v6[15]) = (0xfd, number);
    entity::NodeRecord {
        tenant_id: TENANT.into(),
        cvlan_id: CVLAN.into(),
        node_id: format!("node_{number}"),
        record_revision: 1,
        name: format!("host{number}"),
        kind: entity::NodeKind::Agent.into(),
        wireguard_public_key: wireguard_public_key.to_vec(),
        addresses: vec![
            entity::Prefix {
                address: vec![100, 64, 0, number],
                length: 32,
            },
            entity::Prefix {
                address: v6.to_vec(),
                length: 128,
            },
        ],
        selectors: Vec::new(),
        routes: Vec::new(),
        via: String::new(),
        capability_version: 1,
    }
}

/// Names end in `main.cvlan.internal`; the pools are those of [`node`]; each route is a suffix with its upstreams.
pub fn dns(record_revision: u64, routes: &[(&str, &[SocketAddr])]) -> entity::DnsRecord {
    let route = |(suffix, upstreams): &(&str, &[SocketAddr])| entity::DnsRoute {
        suffix: (*suffix).into(),
        upstreams: upstreams
            .iter()
            .map(|upstream| entity::DnsUpstream {
                address: upstream.ip().to_string(),
                port: upstream.port().into(),
            })
            .collect(),
    };
    entity::DnsRecord {
        tenant_id: TENANT.into(),
        cvlan_id: CVLAN.into(),
        record_revision,
        domain: "main.cvlan.internal".into(),
        routes: routes.iter().map(route).collect(),
        prefixes: vec![
            entity::Prefix {
                address: vec![100, 64, 0, 0],
                length: 10,
            },
            entity::Prefix {
                address: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0).octets().to_vec(),
                length: 64,
            },
        ],
    }
}

/// A server `discoveryserver_<n>` in the region `eu-west` at each of the endpoints.
pub fn relay_map(record_revision: u64, servers: &[SocketAddr]) -> entity::RelayMap {
    let server = |(number, endpoint): (usize, &SocketAddr)| entity::RelayMapServer {
        id: format!("discoveryserver_{number}"),
        region: "eu-west".into(),
        endpoints: vec![entity::ServerEndpoint {
            address: match endpoint.ip() {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            },
            port: endpoint.port().into(),
        }],
    };
    entity::RelayMap {
        tenant_id: TENANT.into(),
        cvlan_id: CVLAN.into(),
        record_revision,
        servers: servers.iter().enumerate().map(server).collect(),
    }
}

/// A rule from everybody to everybody, whose id is `number` 16 times.
pub fn rule(number: u8, action: entity::PolicyAction, protocol: entity::PolicyProtocol) -> entity::RuleRecord {
    let any = || entity::RuleSelector {
        selector: Some(entity::rule_selector::Selector::Any(true)),
    };
    entity::RuleRecord {
        tenant_id: TENANT.into(),
        cvlan_id: CVLAN.into(),
        rule_id: vec![number; 16],
        policy_version: 1,
        name: format!("rule{number}"),
        action: action.into(),
        sources: vec![any()],
        destinations: vec![any()],
        protocol: protocol.into(),
        ports: Vec::new(),
        tunnel: entity::TunnelProtocol::Unspecified.into(),
    }
}
