//! The protocol as its page describes it, and whatever else comes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use cvlan_uapi::{
    AllowedIp, Device, MAX_LINE, MAX_REQUEST, Parser, Peer, Refused, Request, SecretKey, SetDevice, SetPeer,
};
use cvlan_wire::Prefix;
use proptest::prelude::*;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

const KEY: &str = "b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33";

/// What the first request among some lines comes to.
fn request(text: &str) -> Result<Request, Refused> {
    let mut parser = Parser::default();
    for line in text.split('\n') {
        if let Some(request) = parser.line(line)? {
            return Ok(request);
        }
    }
    panic!("the request does not end: {text:?}")
}

fn set(text: &str) -> Result<SetDevice, Refused> {
    match request(&format!("set=1\n{text}\n\n"))? {
        Request::Set(set) => Ok(set),
        Request::Get => panic!("not a set"),
    }
}

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
}

#[test]
fn understands_the_example_of_the_protocol_page() {
    let wanted = set(
        "private_key=e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a\n\
fwmark=0\n\
listen_port=12912\n\
replace_peers=true\n\
public_key=b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33\n\
preshared_key=188515093e952f5f22e865cef3012e72f8b5f0b598ac0309d5dacce3b70fcf52\n\
replace_allowed_ips=true\n\
allowed_ip=192.168.4.4/32\n\
endpoint=[abcd:23::33%2]:51820\n\
public_key=58402e695ba1772b1cc9309755f043251ea77fdcf10fbe63989ceb7e19321376\n\
update_only=true\n\
replace_allowed_ips=true\n\
allowed_ip=192.168.4.6/32\n\
persistent_keepalive_interval=111\n\
endpoint=182.122.22.19:3233\n\
public_key=662e14fd594556f522604703340351258903b64f35553763f19426ab2a515c58\n\
endpoint=5.152.198.39:51820\n\
replace_allowed_ips=true\n\
allowed_ip=192.168.4.10/32\n\
allowed_ip=192.168.4.11/32\n\
public_key=e818b58db5274087fcc1be5dc728cf53d3b5726b4cef6b9bab8f8f8c2452c25c\n\
remove=true",
    )
    .unwrap();
    assert!(wanted.private_key.as_ref().is_some_and(|key| !key.is_none()));
    assert_eq!(
        (wanted.listen_port, wanted.fwmark, wanted.replace_peers),
        (Some(12912), Some(0), true)
    );
    let [first, second, third, last] = wanted.peers.as_slice() else {
        panic!("{wanted:?}")
    };
    assert!(first.preshared_key.is_some() && first.replace_allowed_ips);
    assert_eq!(first.endpoint, Some("[abcd:23::33%2]:51820".parse().unwrap()));
    assert!(second.update_only);
    assert_eq!(second.persistent_keepalive, Some(111));
    assert_eq!(
        third.allowed_ips,
        [
            AllowedIp::Add(prefix("192.168.4.10/32")),
            AllowedIp::Add(prefix("192.168.4.11/32"))
        ]
    );
    assert!(last.remove);
}

#[test]
fn takes_lines_in_their_order() {
    let wanted = set(&format!(
        "public_key={KEY}\nallowed_ip=10.0.0.0/8\nreplace_allowed_ips=true\nallowed_ip=-10.1.2.3/16"
    ));
    let peer = &wanted.unwrap().peers[0];
    assert!(peer.replace_allowed_ips);
    assert_eq!(peer.allowed_ips, [AllowedIp::Remove(prefix("10.1.0.0/16"))]);
}

#[test]
fn refuses_a_wrong_line_whatever_stands_around_it() {
    let peer = |line: &str| format!("public_key={KEY}\n{line}");
    for (text, why) in [
        ("listen_port".to_owned(), Refused::Protocol),
        ("listen_port=65536".to_owned(), Refused::Invalid),
        ("listen_port=+1".to_owned(), Refused::Invalid),
        ("listen_port= 1".to_owned(), Refused::Invalid),
        ("listen_port=".to_owned(), Refused::Invalid),
        ("fwmark=4294967296".to_owned(), Refused::Invalid),
        ("fwmark=-1".to_owned(), Refused::Invalid),
        ("replace_peers=false".to_owned(), Refused::Invalid),
        ("private_key=00".to_owned(), Refused::Invalid),
        (format!("private_key={}", "g".repeat(64)), Refused::Invalid),
        (format!("private_key={}", "é".repeat(32)), Refused::Invalid),
        ("errno=0".to_owned(), Refused::Invalid),
        ("allowed_ip=10.0.0.0/8".to_owned(), Refused::Invalid),
        ("public_key=".to_owned(), Refused::Invalid),
        (peer("listen_port=1"), Refused::Invalid),
        (peer("allowed_ip=10.0.0.0"), Refused::Invalid),
        (peer("allowed_ip=10.0.0.0/33"), Refused::Invalid),
        (peer("allowed_ip=--10.0.0.0/8"), Refused::Invalid),
        (peer("allowed_ip=::ffff:10.0.0.1/128"), Refused::Invalid),
        (peer("endpoint=10.0.0.1"), Refused::Invalid),
        (peer("endpoint=10.0.0.1:0"), Refused::Invalid),
        (peer("endpoint=example.com:51820"), Refused::Invalid),
        (peer("persistent_keepalive_interval=off"), Refused::Invalid),
        (peer("protocol_version=2"), Refused::Invalid),
        (peer("remove=1"), Refused::Invalid),
        (peer("last_handshake_time_sec=1"), Refused::Invalid),
    ] {
        assert_eq!(set(&text), Err(why), "{text}");
        assert_eq!(set(&format!("fwmark=1\n{text}")), Err(why), "{text}");
        if why == Refused::Invalid {
            assert_eq!(set(&format!("{text}\npublic_key={KEY}")), Err(why), "{text}");
        }
    }
    assert_eq!(request("get=1\nlisten_port=1\n\n"), Err(Refused::Invalid));
    assert_eq!(request("get=2\n\n"), Err(Refused::Protocol));
    assert_eq!(request(""), Err(Refused::Protocol));
}

#[test]
fn goes_on_behind_a_request_that_was_refused() {
    let mut parser = Parser::default();
    for line in ["set=1", "nonsense", "listen_port=1"] {
        assert_eq!(parser.line(line), Ok(None));
    }
    assert_eq!(parser.line(""), Err(Refused::Protocol));
    assert_eq!(parser.line("get=1"), Ok(None));
    assert_eq!(parser.line(""), Ok(Some(Request::Get)));
}

#[test]
fn bounds_lines_and_requests() {
    assert_eq!(
        Parser::default().line(&"x".repeat(MAX_LINE + 1)),
        Err(Refused::Protocol)
    );
    let mut parser = Parser::default();
    parser.line("set=1").unwrap();
    let line = "y".repeat(MAX_LINE);
    let refused_at = (0..=MAX_REQUEST / MAX_LINE).find(|_| parser.line(&line) == Err(Refused::Protocol));
    assert_eq!(refused_at, Some(MAX_REQUEST / (MAX_LINE + 1)));
}

#[test]
fn tells_what_there_is_and_never_a_key_that_is_left_out() {
    let secret = |byte| Some(SecretKey::new(Zeroizing::new([byte; 32])));
    let peer = Peer {
        public_key: [0xab; 32],
        preshared_key: secret(0xcd),
        endpoint: Some("[2001:db8::1]:51820".parse().unwrap()),
        last_handshake: Some(Duration::new(1_700_000_000, 5)),
        tx_bytes: 1,
        rx_bytes: 2,
        persistent_keepalive: 25,
        allowed_ips: vec![prefix("10.0.0.0/8"), prefix("fd00::/8")],
    };
    let device = Device {
        private_key: secret(0x11),
        listen_port: Some(51820),
        fwmark: 7,
        peers: vec![peer.clone()],
    };
    let (ab, cd, eleven) = ("ab".repeat(32), "cd".repeat(32), "11".repeat(32));
    assert_eq!(
        *device.answer(),
        format!(
            "private_key={eleven}\nlisten_port=51820\nfwmark=7\npublic_key={ab}\npreshared_key={cd}\nprotocol_version=1\n\
             endpoint=[2001:db8::1]:51820\nlast_handshake_time_sec=1700000000\nlast_handshake_time_nsec=5\ntx_bytes=1\n\
             rx_bytes=2\npersistent_keepalive_interval=25\nallowed_ip=10.0.0.0/8\nallowed_ip=fd00::/8\nerrno=0\n\n"
        )
    );
    let silent = Device {
        private_key: None,
        listen_port: None,
        fwmark: 0,
        peers: vec![Peer {
            preshared_key: None,
            endpoint: None,
            last_handshake: None,
            ..peer
        }],
    };
    let told = silent.answer().to_string();
    assert!(told.starts_with("public_key=") && !told.contains("private") && !told.contains("preshared"));
    assert!(told.contains("last_handshake_time_sec=0\nlast_handshake_time_nsec=0\n") && !told.contains("endpoint"));
    assert!(!format!("{device:?}").contains("11, "), "a key is printed");
}

#[test]
fn answers_with_the_numbers_that_wg_reads() {
    assert_eq!(Refused::answer(Ok(())), "errno=0\n\n");
    assert_eq!(Refused::answer(Err(Refused::Invalid)), "errno=-22\n\n");
    assert_eq!(Refused::answer(Err(Refused::PortInUse)), "errno=-98\n\n");
}

/// Takes any bytes as the socket would: lines that are text.
fn check(bytes: &[u8]) {
    let mut parser = Parser::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(line) = std::str::from_utf8(line)
            && let Ok(Some(Request::Set(set))) = parser.line(line)
        {
            assert!(
                set.peers
                    .iter()
                    .all(|peer| peer.endpoint.is_none_or(|endpoint| endpoint.port() != 0))
            );
        }
    }
}

#[test]
fn the_corpus_is_replayed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/uapi/corpus");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for length in 0..=bytes.len() {
            check(&bytes[..length]);
        }
        count += 1;
    }
    assert!(count >= 6, "the corpus is not there");
}

fn any_prefix() -> impl Strategy<Value = Prefix> {
    prop_oneof![
        (any::<[u8; 4]>(), 0..=32u32).prop_map(|(octets, length)| Prefix::truncated(octets.into(), length).unwrap()),
        (any::<[u8; 15]>(), 0..=128u32).prop_map(|(rest, length)| {
            let mut octets = [0xfd; 16];
            octets[1..].copy_from_slice(&rest);
            Prefix::truncated(octets.into(), length).unwrap()
        }),
    ]
}

fn any_peer() -> impl Strategy<Value = Peer> {
    let keys = (any::<[u8; 32]>(), any::<Option<[u8; 32]>>());
    let endpoint = proptest::option::of((any::<std::net::IpAddr>(), 1u16..));
    (
        keys,
        endpoint,
        any::<u16>(),
        proptest::collection::vec(any_prefix(), 0..4),
    )
        .prop_map(
            |((public_key, preshared), endpoint, persistent_keepalive, allowed_ips)| Peer {
                public_key,
                preshared_key: preshared.map(|key| SecretKey::new(Zeroizing::new(key))),
                endpoint: endpoint.map(SocketAddr::from),
                last_handshake: None,
                tx_bytes: 0,
                rx_bytes: 0,
                persistent_keepalive,
                allowed_ips,
            },
        )
}

/// What has to be set so that a peer is as it was told.
fn change(peer: &Peer) -> SetPeer {
    SetPeer {
        preshared_key: peer.preshared_key.clone(),
        endpoint: peer.endpoint,
        persistent_keepalive: Some(peer.persistent_keepalive),
        allowed_ips: peer.allowed_ips.iter().copied().map(AllowedIp::Add).collect(),
        ..SetPeer::of(peer.public_key)
    }
}

proptest! {
    #[test]
    fn reads_back_what_it_tells(peers in proptest::collection::vec(any_peer(), 0..5), port: u16, fwmark in 1u32..) {
        let device = Device { private_key: None, listen_port: Some(port), fwmark, peers };
        let told: String = device
            .answer()
            .lines()
            .filter(|line| !line.starts_with("last_") && !line.contains("_bytes=") && !line.starts_with("errno"))
            .filter(|line| !line.is_empty())
            .map(|line| format!("{line}\n"))
            .collect();
        let expected = SetDevice {
            listen_port: Some(port),
            fwmark: Some(fwmark),
            peers: device.peers.iter().map(change).collect(),
            ..SetDevice::default()
        };
        prop_assert_eq!(set(told.trim_end()), Ok(expected));
    }

    #[test]
    fn takes_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        check(&bytes);
    }

    #[test]
    fn takes_any_order_of_lines(lines in proptest::collection::vec("(set=1|get=1||public_key=[0-9a-f]{62,66}|allowed_ip=-?[0-9a-f:.]{1,20}/[0-9]{1,3}|endpoint=.{0,20}|[a-z_]{1,20}=[ -~]{0,20})", 0..30)) {
        check(lines.join("\n").as_bytes());
    }
}
