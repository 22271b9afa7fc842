//! The names of the overlay, made from the map.

use std::net::IpAddr;
use std::sync::Arc;

use cvlan_wire::dns::is_label;
use cvlan_wire::{Dns, Node, PeerHandle, Prefix};
use rpds::HashTrieMapSync;

use crate::message::{Rcode, kind};
use crate::name::{Name, reverse_text};
use crate::upstreams::{Target, Upstreams};
use crate::{NEGATIVE_TTL, Query, ZONE_TTL};

/// Seconds that a secondary server would wait: there is none, but an SOA names them.
const SOA_TIMES: [u32; 3] = [3600, 600, 86400];

/// Everything that is answered or asked elsewhere because of the map. A clone shares what both have, and a change of one
/// node costs the same however many there are.
#[derive(Clone, Debug)]
pub struct Zone {
    apex: Name,
    domain: String,
    serial: u32,
    nodes: HashTrieMapSync<Box<[u8]>, Named>,
    by_address: HashTrieMapSync<IpAddr, Named>,
    reverse_zones: Arc<[String]>,
    pub(crate) upstreams: Arc<Upstreams>,
}

/// Whose record it is; of two nodes with one name the first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// This node.
    Own,
    /// A peer.
    Peer(PeerHandle),
}

/// Who has a name or an address, the one that counts first.
#[derive(Clone, Debug, Default)]
struct Named(Vec<(Owner, Arc<Node>)>);

impl Named {
    fn first(&self) -> Option<&Arc<Node>> {
        self.0.first().map(|(_, node)| node)
    }

    fn with(mut self, owner: Owner, node: &Arc<Node>) -> Self {
        self.0.retain(|(held, _)| *held != owner);
        let place = self.0.partition_point(|(held, _)| *held < owner);
        self.0.insert(place, (owner, node.clone()));
        self
    }

    fn without(mut self, owner: Owner) -> Option<Self> {
        self.0.retain(|(held, _)| *held != owner);
        (!self.0.is_empty()).then_some(self)
    }
}

/// What the zone says of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Records of the name and kind; none when the name has no records of the kind.
    Found(Vec<Record>),
    /// There is no such name.
    NoName,
}

/// A record of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub(crate) owner: Name,
    kind: u16,
    ttl: u32,
    data: Vec<u8>,
}

impl Record {
    /// Appends all but the owner's name.
    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        into.extend(self.kind.to_be_bytes());
        into.extend(kind::IN.to_be_bytes());
        into.extend(self.ttl.to_be_bytes());
        into.extend(u16::try_from(self.data.len()).unwrap_or_default().to_be_bytes());
        into.extend_from_slice(&self.data);
    }

    fn of_address(owner: &Name, address: IpAddr) -> Self {
        let (kind, data) = match address {
            IpAddr::V4(v4) => (kind::A, v4.octets().to_vec()),
            IpAddr::V6(v6) => (kind::AAAA, v6.octets().to_vec()),
        };
        Self {
            owner: owner.clone(),
            kind,
            ttl: ZONE_TTL,
            data,
        }
    }
}

impl Zone {
    /// Names of this node and of its peers. None when the domain is no name. A node whose name is no DNS label has none
    /// here.
    #[must_use]
    pub fn compile(dns: &Dns, nodes: impl Iterator<Item = (Owner, Arc<Node>)>) -> Option<Self> {
        let apex = Name::from_text(&dns.domain)?;
        let reverse_zones: Vec<String> = dns.prefixes.iter().flat_map(|prefix| reverse_zones(*prefix)).collect();
        let mut zone = Self {
            upstreams: Arc::new(Upstreams::compile(&dns.routes, &apex, &reverse_zones)),
            apex,
            domain: dns.domain.clone(),
            // RFC 1982: a serial number wraps.
            serial: u32::try_from(dns.record_revision & u64::from(u32::MAX)).unwrap_or_default(),
            nodes: HashTrieMapSync::new_sync(),
            by_address: HashTrieMapSync::new_sync(),
            reverse_zones: reverse_zones.into(),
        };
        for (owner, node) in nodes {
            zone.put(owner, &node);
        }
        Some(zone)
    }

    /// Adds a node.
    pub fn put(&mut self, owner: Owner, node: &Arc<Node>) {
        let Some(name) = self.name_of(node) else { return };
        for address in &node.addresses {
            let held = self.by_address.get(address).cloned().unwrap_or_default();
            self.by_address.insert_mut(*address, held.with(owner, node));
        }
        let held = self.nodes.get(&name).cloned().unwrap_or_default();
        self.nodes.insert_mut(name, held.with(owner, node));
    }

    /// Takes away what [`Zone::put`] made of this record.
    pub fn remove(&mut self, owner: Owner, node: &Node) {
        let Some(name) = self.name_of(node) else { return };
        for address in &node.addresses {
            match self
                .by_address
                .get(address)
                .cloned()
                .and_then(|held| held.without(owner))
            {
                Some(left) => self.by_address.insert_mut(*address, left),
                None => drop(self.by_address.remove_mut(address)),
            }
        }
        match self.nodes.get(&name).cloned().and_then(|held| held.without(owner)) {
            Some(left) => self.nodes.insert_mut(name, left),
            None => drop(self.nodes.remove_mut(&name)),
        }
    }

    fn name_of(&self, node: &Node) -> Option<Box<[u8]>> {
        let name = node.name.to_ascii_lowercase();
        let fits = is_label(&name) && Name::from_text(&format!("{name}.{}", self.domain)).is_some();
        fits.then(|| name.into_bytes().into())
    }

    /// Nodes are `<name>.<domain>`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Reverse zones of the pools.
    #[must_use]
    pub fn reverse_zones(&self) -> &[String] {
        &self.reverse_zones
    }

    /// What the map says; None when the name is another's to answer for.
    #[must_use]
    pub fn lookup(&self, query: &Query) -> Option<Lookup> {
        let target = self.upstreams.target(&query.name);
        if let Some(address) = query.name.reverse_address() {
            if let Some(node) = self.by_address.get(&address).and_then(Named::first) {
                return Some(Lookup::Found(self.pointer(query, node)));
            }
            return matches!(target, Some(Target::Reverse)).then_some(Lookup::NoName);
        }
        match target? {
            Target::Servers(_) => None,
            // A name above addresses: it may have names below it, and is none itself.
            Target::Reverse => Some(Lookup::Found(Vec::new())),
            Target::Forward => Some(self.forward(query)),
        }
    }

    fn forward(&self, query: &Query) -> Lookup {
        let apex = self.apex.as_bytes();
        if query.name == self.apex {
            let soa = matches!(query.kind, kind::SOA | kind::ANY).then(|| self.soa());
            return Lookup::Found(soa.into_iter().collect());
        }
        let label = query.name.label_before(apex);
        let node = label.and_then(|label| self.nodes.get(label)?.first());
        let Some(node) = node else { return Lookup::NoName };
        let records = node
            .addresses
            .iter()
            .map(|address| Record::of_address(&query.name, *address));
        Lookup::Found(
            records
                .filter(|record| query.kind == kind::ANY || query.kind == record.kind)
                .collect(),
        )
    }

    fn pointer(&self, query: &Query, node: &Node) -> Vec<Record> {
        if !matches!(query.kind, kind::PTR | kind::ANY) {
            return Vec::new();
        }
        let name = Name::from_text(&format!("{}.{}", node.name, self.domain));
        let record = |name: Name| Record {
            owner: query.name.clone(),
            kind: kind::PTR,
            ttl: ZONE_TTL,
            data: name.as_bytes().to_vec(),
        };
        name.map(record).into_iter().collect()
    }

    /// Says how long a denial may be remembered (RFC 2308).
    fn soa(&self) -> Record {
        let mut data = self.apex.as_bytes().to_vec();
        data.extend_from_slice(b"\x0ahostmaster");
        data.extend_from_slice(self.apex.as_bytes());
        for number in [self.serial].into_iter().chain(SOA_TIMES).chain([NEGATIVE_TTL]) {
            data.extend(number.to_be_bytes());
        }
        Record {
            owner: self.apex.clone(),
            kind: kind::SOA,
            ttl: NEGATIVE_TTL,
            data,
        }
    }

    /// The message for what was found. The SOA stands for the reverse zones too, so that a denial there has a lifetime.
    pub(crate) fn answer(&self, query: &Query, lookup: &Lookup) -> Vec<u8> {
        match lookup {
            Lookup::Found(records) if records.is_empty() => {
                query.answer(Rcode::NoError, true, &[], &[self.denial(query)])
            }
            Lookup::Found(records) => query.answer(Rcode::NoError, true, records, &[]),
            Lookup::NoName => query.answer(Rcode::NxDomain, true, &[], &[self.denial(query)]),
        }
    }

    /// The SOA of the zone that the name is in.
    fn denial(&self, query: &Query) -> Record {
        let mut soa = self.soa();
        if let Some(owner) = self.upstreams.zone_of(&query.name) {
            soa.owner = owner;
        }
        soa
    }
}

/// The zones that cover a prefix: at octets (RFC 1035, section 3.5) or nibbles (RFC 3596, section 2.5).
fn reverse_zones(prefix: Prefix) -> Vec<String> {
    let step = if prefix.is_ipv4() { 8 } else { 4 };
    let width: u32 = if prefix.is_ipv4() { 32 } else { 128 };
    let length = u32::from(prefix.length()).div_ceil(step) * step;
    let labels_below = usize::try_from((width - length) / step).unwrap_or_default();
    let (first, _) = prefix.bounds();
    let zones = 1_u128 << (length - u32::from(prefix.length()));
    (0..zones)
        .filter_map(|index| {
            let bits = first | index.checked_shl(width - length).unwrap_or_default();
            let address = if prefix.is_ipv4() {
                IpAddr::V4(u32::try_from(bits).ok()?.into())
            } else {
                IpAddr::V6(bits.into())
            };
            let text = reverse_text(address);
            let zone: Vec<&str> = text.split('.').skip(labels_below).collect();
            Some(zone.join("."))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(text: &str) -> Vec<String> {
        let (address, length) = text.split_once('/').unwrap();
        reverse_zones(Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap())
    }

    #[test]
    fn a_pool_has_the_reverse_zones_that_cover_it() {
        assert_eq!(zones("10.0.0.0/8"), ["10.in-addr.arpa"]);
        assert_eq!(zones("10.7.8.0/23"), ["8.7.10.in-addr.arpa", "9.7.10.in-addr.arpa"]);
        let shared = zones("100.64.0.0/10");
        assert_eq!(shared.len(), 64);
        assert_eq!(shared[0], "64.100.in-addr.arpa");
        assert_eq!(shared[63], "127.100.in-addr.arpa");
        assert_eq!(zones("192.0.2.4/30").len(), 4);
        assert_eq!(zones("192.0.2.4/32"), ["4.2.0.192.in-addr.arpa"]);
        assert_eq!(zones("fd00:1:2:3::/64"), ["3.0.0.0.2.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa"]);
        assert_eq!(zones("fd00::/63").len(), 2);
    }
}
