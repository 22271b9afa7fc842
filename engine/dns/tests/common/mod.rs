//! Messages as a host and an upstream would write them, and what is read back.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_dns::{Client, Counters, Output, Owner, Resolver, Zone};
use cvlan_wire::{Dns, Node, PeerHandle};
use std::net::SocketAddr;
use std::sync::Arc;

pub const A: u16 = 1;
pub const SOA: u16 = 6;
pub const PTR: u16 = 12;
pub const AAAA: u16 = 28;
pub const ANY: u16 = 255;

pub fn client() -> Client {
    Client::Udp("127.0.0.1:4000".parse().unwrap())
}

pub fn server(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn zone(routes: &[(&str, &[SocketAddr])], nodes: &[entity::NodeRecord]) -> Arc<Zone> {
    let dns = Dns::try_from(&cvlan_testkit::dns(7, routes)).unwrap();
    let nodes = nodes.iter().map(|node| Arc::new(Node::try_from(node).unwrap()));
    let owners = std::iter::once(Owner::Own).chain((0..).map(|peer| Owner::Peer(PeerHandle(peer))));
    let nodes = owners.zip(nodes);
    Arc::new(Zone::compile(&dns, nodes).unwrap())
}

pub fn resolver(routes: &[(&str, &[SocketAddr])], fallback: &[SocketAddr]) -> (Resolver, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    let mut id = 0x1000;
    let random = move || {
        id += 1;
        id
    };
    let mut resolver = Resolver::new(server("127.83.0.1:53"), counters.clone(), Box::new(random));
    let nodes = [cvlan_testkit::node(1, [1; 32]), cvlan_testkit::node(2, [2; 32])];
    resolver.install(Some(zone(routes, &nodes)), fallback.to_vec());
    (resolver, counters)
}

pub fn counter(counters: &Counters, name: &str) -> u64 {
    counters.named().iter().find(|(known, _)| *known == name).unwrap().1
}

pub fn name(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend(label.bytes());
    }
    wire.push(0);
    wire
}

pub fn header(id: u16, flags: u16, counts: [u16; 4]) -> Vec<u8> {
    [id, flags]
        .into_iter()
        .chain(counts)
        .flat_map(u16::to_be_bytes)
        .collect()
}

pub fn question(text: &str, kind: u16) -> Vec<u8> {
    [name(text), kind.to_be_bytes().to_vec(), vec![0, 1]].concat()
}

/// A query with recursion desired.
pub fn query(id: u16, text: &str, kind: u16) -> Vec<u8> {
    [header(id, 0x100, [1, 0, 0, 0]), question(text, kind)].concat()
}

/// The same with EDNS.
pub fn edns_query(id: u16, text: &str, kind: u16, udp_size: u16) -> Vec<u8> {
    let opt = [&[0, 0, 41][..], &udp_size.to_be_bytes(), &[0; 6]].concat();
    [header(id, 0x100, [1, 0, 0, 1]), question(text, kind), opt].concat()
}

/// A record whose name is that of the question.
pub fn record(kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    [
        &[0xc0, 12][..],
        &kind.to_be_bytes(),
        &[0, 1],
        &ttl.to_be_bytes(),
        &length.to_be_bytes(),
        data,
    ]
    .concat()
}

/// The answer of an upstream to the message it got.
pub fn reply(asked: &[u8], flags: u16, answers: &[Vec<u8>], authority: &[Vec<u8>]) -> Vec<u8> {
    let end = 12 + asked[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let count = |records: &[Vec<u8>]| u16::try_from(records.len()).unwrap();
    let id = u16::from_be_bytes([asked[0], asked[1]]);
    let head = header(id, 0x8180 | flags, [1, count(answers), count(authority), 0]);
    [head, asked[12..end].to_vec(), answers.concat(), authority.concat()].concat()
}

/// What matters of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    pub id: u16,
    pub rcode: u16,
    pub authoritative: bool,
    pub truncated: bool,
    /// As it stands in the answer, in its case.
    pub question: Vec<u8>,
    /// Kind, TTL and data of the records of the answer and authority sections.
    pub answers: Vec<(u16, u32, Vec<u8>)>,
    pub authority: Vec<(u16, u32, Vec<u8>)>,
    pub additional: usize,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub fn read(bytes: &[u8]) -> Read {
    let flags = u16_at(bytes, 2);
    let mut at = 12;
    let question = if u16_at(bytes, 4) == 1 {
        let end = 12 + bytes[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
        at = end;
        bytes[12..end].to_vec()
    } else {
        Vec::new()
    };
    let mut records = |count: u16| {
        let mut found = Vec::new();
        for _ in 0..count {
            while bytes[at] != 0 && bytes[at] < 0xc0 {
                at += 1 + usize::from(bytes[at]);
            }
            at += if bytes[at] == 0 { 1 } else { 2 };
            let length = usize::from(u16_at(bytes, at + 8));
            let ttl = u32::from_be_bytes([bytes[at + 4], bytes[at + 5], bytes[at + 6], bytes[at + 7]]);
            found.push((u16_at(bytes, at), ttl, bytes[at + 10..at + 10 + length].to_vec()));
            at += 10 + length;
        }
        found
    };
    let read = Read {
        id: u16_at(bytes, 0),
        rcode: flags & 0xf,
        authoritative: flags & 0x400 != 0,
        truncated: flags & 0x200 != 0,
        question,
        answers: records(u16_at(bytes, 6)),
        authority: records(u16_at(bytes, 8)),
        additional: usize::from(u16_at(bytes, 10)),
    };
    records(u16_at(bytes, 10));
    assert_eq!(at, bytes.len(), "nothing stands behind the message");
    read
}

/// The only answer among the outputs.
pub fn answered(outputs: &[Output]) -> Read {
    let answers: Vec<_> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Answer { bytes, .. } => Some(bytes),
            _ => None,
        })
        .collect();
    assert_eq!(answers.len(), 1, "{outputs:?}");
    read(answers[0])
}
