//! Ten thousand peers: none of their changes costs a packet of somebody else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use common::{CEILING, Host, udp};
use cvlan_testkit::{Tenant, node, rule};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

const PEERS: u32 = 10_000;
/// Packets wait in a socket of 212,992 bytes at least; so many a second never fill it while a thread waits for its turn.
const BETWEEN_PACKETS: Duration = Duration::from_millis(2);

/// A peer that is only in the map.
fn bystander(number: u32, revision: u64) -> entity::NodeRecord {
    let mut key = [7; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    key[31] = 0x40;
    let mut record = node(9, key);
    record.node_id = format!("bystander_{number:05}");
    record.name = format!("name{number}-{revision}");
    record.record_revision = revision;
    record.addresses[0].address = (0x6441_0000 + number).to_be_bytes().to_vec();
    record.addresses[1].address[8..12].copy_from_slice(&number.to_be_bytes());
    record
}

fn hint(number: u32, port: u32) -> entity::EndpointHint {
    entity::EndpointHint {
        node_id: format!("bystander_{number:05}"),
        endpoints: vec![entity::NodeEndpoint {
            address: "192.0.2.7".into(),
            port,
        }],
    }
}

/// Numbered packets from one host to the other until told to stop.
struct Stream {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU32>,
    sender: std::thread::JoinHandle<()>,
    receiver: std::thread::JoinHandle<Vec<u32>>,
}

impl Stream {
    fn start(from: UnixDatagram, to: UnixDatagram) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (stopping, count) = (stop.clone(), sent.clone());
        let sender = std::thread::spawn(move || {
            while !stopping.load(Ordering::SeqCst) {
                let number = count.load(Ordering::SeqCst);
                from.send(&udp(1, 2, 4000, 5000, &number.to_be_bytes())).unwrap();
                count.store(number + 1, Ordering::SeqCst);
                std::thread::sleep(BETWEEN_PACKETS);
            }
            from.send(&udp(1, 2, 4000, 5000, &u32::MAX.to_be_bytes())).unwrap();
        });
        let receiver = std::thread::spawn(move || {
            to.set_read_timeout(Some(CEILING)).unwrap();
            let mut numbers = Vec::new();
            let mut room = [0; 2048];
            loop {
                let length = to.recv(&mut room).expect("a packet or the end of them");
                let number = u32::from_be_bytes(room[28..length].try_into().unwrap());
                if number == u32::MAX {
                    return numbers;
                }
                numbers.push(number);
            }
        });
        Self {
            stop,
            sent,
            sender,
            receiver,
        }
    }

    fn sent(&self) -> u32 {
        self.sent.load(Ordering::SeqCst)
    }

    fn end(self) -> (Vec<u32>, u32) {
        self.stop.store(true, Ordering::SeqCst);
        self.sender.join().unwrap();
        (self.receiver.join().unwrap(), self.sent.load(Ordering::SeqCst))
    }
}

#[test]
fn while_a_third_of_ten_thousand_peers_changes_no_packet_is_lost() {
    let tenant = Tenant::new(1, SystemTime::now() - Duration::from_secs(3600));
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let records = [a.record(), b.record()];
    let rules = [rule(1, entity::PolicyAction::Allow, entity::PolicyProtocol::Any)];
    for host in [&mut a, &mut b] {
        let settings = host.settings(&tenant);
        host.apply(Some(settings), Vec::new()).unwrap();
    }
    let hints = vec![a.hint(), b.hint()];
    let full = |revision, nodes: &[entity::NodeRecord]| entity::MapUpdate {
        hints: hints.clone(),
        head: tenant.sign_head(&tenant.head(1, revision, 1)),
        ..tenant.full(revision, nodes, &rules)
    };
    b.apply(None, vec![full(1, &records)]).unwrap();
    let mut nodes: Vec<_> = (0..PEERS).map(|number| bystander(number, 1)).collect();
    nodes.extend(records.clone());
    a.apply(None, vec![full(1, &nodes)]).unwrap();
    assert_eq!(a.engine.status().peers.len(), PEERS as usize + 1);

    // The first packet makes the session.
    a.send(&udp(1, 2, 4000, 5000, b"hello"));
    assert!(b.receive().ends_with(b"hello"));
    let stream = Stream::start(a.os.take().unwrap(), b.os.take().unwrap());
    let dropped = |host: &Host| {
        let counters = host.engine.status().counters;
        let lost = counters.into_iter().filter(|(name, _)| name.contains("_dropped_"));
        lost.map(|(_, count)| count).sum::<u64>()
    };
    let before = dropped(&a) + dropped(&b);

    let mut revision = 1;
    let (mut gone, mut renewed) = (Vec::new(), Vec::new());
    for number in (0..PEERS).step_by(3) {
        let update = match number % 4 {
            0 => entity::MapUpdate {
                nodes: vec![tenant.sign_node(&bystander(number, 2))],
                ..entity::MapUpdate::default()
            },
            1 => entity::MapUpdate {
                removed_nodes: vec![format!("bystander_{number:05}")],
                ..entity::MapUpdate::default()
            },
            2 => entity::MapUpdate {
                hints: vec![hint(number, 1 + number % 7)],
                ..entity::MapUpdate::default()
            },
            _ => entity::MapUpdate {
                rules: vec![tenant.sign_rule(&entity::RuleRecord {
                    rule_id: number.to_be_bytes().repeat(4),
                    ..rule(2, entity::PolicyAction::Deny, entity::PolicyProtocol::Tcp)
                })],
                ..entity::MapUpdate::default()
            },
        };
        let update = entity::MapUpdate {
            previous: revision,
            revision: revision + 1,
            head: tenant.sign_head(&tenant.head(1, revision + 1, 1)),
            ..update
        };
        a.apply(None, vec![update]).unwrap();
        revision += 1;
        match number % 4 {
            0 => renewed.push(number),
            1 => gone.push(number),
            _ => {}
        }
    }
    let during_changes = stream.sent();
    let mut nodes: Vec<_> = (0..PEERS)
        .filter(|number| !gone.contains(number))
        .map(|number| bystander(number, if renewed.contains(&number) { 2 } else { 1 }))
        .collect();
    nodes.extend(records);
    revision += 1;
    a.apply(None, vec![full(revision, &nodes)]).unwrap();
    let (numbers, sent) = stream.end();

    assert!(
        during_changes > 100 && sent > during_changes,
        "{during_changes} of {sent} packets"
    );
    assert_eq!(numbers.len(), sent as usize, "packets lost or repeated");
    assert!(numbers.is_sorted());
    assert_eq!(dropped(&a) + dropped(&b), before);
    let status = a.engine.status();
    assert_eq!(status.peers.len(), nodes.len() - 1);
    assert_eq!(status.map.unwrap().revision, revision);
}
