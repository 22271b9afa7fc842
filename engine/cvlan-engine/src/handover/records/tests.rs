use super::*;
use proptest::prelude::*;

fn session(local: u32) -> SessionState {
    SessionState {
        local,
        remote: 7,
        initiator: true,
        confirmed: true,
        age: Duration::from_secs(3),
        send: [1; 32].into(),
        receive: [2; 32].into(),
        next: 1 << 40,
        seen_next: 9,
        seen: (0..129).collect(),
    }
}

fn peer() -> PeerState {
    PeerState {
        public_key: [5; 32],
        endpoint: Some("[fe80::1%4]:51820".parse().unwrap()),
        received: Some(Duration::from_millis(5)),
        waiting: vec![vec![0x45; 40], vec![]],
        current: Some(session(1)),
        previous: Some(session(2)),
        cookie: Some(([3; 16], Duration::from_secs(1))),
        newest: Some(([4; 12], Duration::from_secs(2))),
        latest_handshake: Some((
            Duration::from_secs(3),
            UNIX_EPOCH + Duration::from_nanos(1_800_000_000_000_000_001),
        )),
        ..PeerState::default()
    }
}

fn flow() -> FlowState {
    FlowState {
        node: PeerHandle(3),
        protocol: Protocol(6),
        own: "100.64.0.1".parse().unwrap(),
        far: "fd00::2".parse().unwrap(),
        own_port: 22,
        far_port: 40_000,
        initiator: Direction::Inbound,
        rule: [8; 16],
        age: Duration::from_secs(100),
        stage: Stage::Established,
    }
}

fn written() -> Vec<u8> {
    let mut head = Head::default();
    head.told_at = nanos(cvlan_io::monotonic());
    head.counters.insert("tx_packets".to_owned(), 5);
    let common = CommonState {
        labelled: Duration::from_secs(1_800_000_000),
        cookie_secret: Some(([6; 32].into(), Duration::from_secs(4))),
    };
    let mut writer = Writer::begin(head, &common).unwrap();
    writer.peer(peer()).unwrap();
    writer.flow("node_2", &flow()).unwrap();
    let rule = Rule {
        id: vec![8; 16],
        packets: 1,
        bytes: 2,
    };
    writer.rule(rule).unwrap();
    let memory = writer.seal().unwrap();
    let mut bytes = vec![0; usize::try_from(memory.metadata().unwrap().len()).unwrap()];
    memory.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn sealed(bytes: &[u8]) -> OwnedFd {
    let mut memory = cvlan_io::anonymous_memory().unwrap();
    memory.write_all(bytes).unwrap();
    cvlan_io::seal(&memory).unwrap();
    memory.into()
}

fn read(bytes: &[u8]) -> Result<(Head, CommonState, Vec<Item>), HandoverError> {
    let (mut reader, head, common) = Reader::open(sealed(bytes))?;
    let mut items = Vec::new();
    while let Some(item) = reader.next()? {
        items.push(item);
    }
    Ok((head, common, items))
}

#[test]
fn what_was_written_is_read_with_ages_of_now() {
    let (head, common, items) = read(&written()).unwrap();
    assert_eq!(head.counters["tx_packets"], 5);
    assert_eq!(common.labelled, Duration::from_secs(1_800_000_000));
    let (secret, age) = common.cookie_secret.unwrap();
    assert!(*secret == [6; 32] && age >= Duration::from_secs(4) && age < Duration::from_secs(60));
    let [Item::Peer(told), Item::Flow(node, told_flow), Item::Rule(rule)] = items.as_slice() else {
        panic!("three records");
    };
    let wanted = peer();
    assert_eq!((told.public_key, told.endpoint), (wanted.public_key, wanted.endpoint));
    assert_eq!(told.waiting, wanted.waiting);
    assert!(told.received > wanted.received && told.sent.is_none() && told.next.is_none());
    let (current, previous) = (told.current.as_ref().unwrap(), told.previous.as_ref().unwrap());
    assert_eq!(
        (current.local, previous.local, current.next, current.seen_next),
        (1, 2, 1 << 40, 9)
    );
    assert!(*current.send == [1; 32] && *current.receive == [2; 32] && current.initiator && current.confirmed);
    assert_eq!(current.seen, (0..129).collect::<Vec<_>>());
    assert_eq!(told.newest.unwrap().0, [4; 12]);
    assert_eq!(told.latest_handshake.unwrap().1, wanted.latest_handshake.unwrap().1);
    assert_eq!(node, "node_2");
    let expected = FlowState {
        node: PeerHandle(0),
        age: told_flow.age,
        ..flow()
    };
    assert!(*told_flow == expected && told_flow.age >= flow().age);
    assert_eq!((rule.packets, rule.bytes), (1, 2));
}

#[test]
fn a_part_of_it_is_not_taken_for_all() {
    let bytes = written();
    for end in 0..bytes.len() {
        assert!(read(&bytes[..end]).is_err(), "{end} of {} bytes", bytes.len());
    }
    assert!(read(&[bytes.as_slice(), &[0]].concat()).is_err());
}

proptest! {
    /// It is ours or another user's, never an end of the process.
    #[test]
    fn whatever_it_holds_brings_nobody_down(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = written();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = read(&bytes);
    }

    #[test]
    fn noise_brings_nobody_down(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
    }
}
