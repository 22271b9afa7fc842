//! Names that others answer for.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::*;
use cvlan_dns::{AskId, Client, MAX_PENDING, MAX_RATE, MAX_TTL, Output, Resolver, Transport};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

struct Asked {
    ask: AskId,
    upstream: SocketAddr,
    transport: Transport,
    bytes: Vec<u8>,
}

fn asked(outputs: &[Output]) -> Asked {
    let mut asks = outputs.iter().filter_map(|output| match output {
        Output::Ask {
            ask,
            upstream,
            transport,
            bytes,
        } => Some(Asked {
            ask: *ask,
            upstream: *upstream,
            transport: *transport,
            bytes: bytes.clone(),
        }),
        _ => None,
    });
    let first = asks.next().unwrap_or_else(|| panic!("nobody is asked: {outputs:?}"));
    assert!(asks.next().is_none());
    first
}

fn start(resolver: &mut Resolver, now: Instant, message: &[u8]) -> Asked {
    let mut outputs = Vec::new();
    resolver.query(now, client(), message, &mut outputs);
    asked(&outputs)
}

#[test]
fn the_longest_suffix_decides_who_is_asked() {
    let (near, far, host) = (
        [server("10.0.0.1:53")],
        [server("10.0.0.2:5353")],
        [server("192.0.2.1:53")],
    );
    let routes: [(&str, &[SocketAddr]); 3] = [
        ("corp", &far),
        ("eu.corp", &near),
        ("legacy.main.cvlan.internal", &near),
    ];
    let (mut resolver, _) = resolver(&routes, &host);
    for (name, upstream) in [
        ("www.CORP", far[0]),
        ("corp", far[0]),
        ("www.eu.corp", near[0]),
        ("x.legacy.main.cvlan.internal", near[0]),
        ("notcorp", host[0]),
        ("example.org", host[0]),
    ] {
        assert_eq!(
            start(&mut resolver, Instant::now(), &query(1, name, A)).upstream,
            upstream,
            "{name}"
        );
    }
}

#[test]
fn an_answer_counts_when_id_and_question_match_and_is_told_in_the_askers_words() {
    let (mut resolver, counters) = resolver(&[], &[server("192.0.2.1:53")]);
    let now = Instant::now();
    let sent = start(&mut resolver, now, &query(77, "Www.Example.org", A));
    assert_ne!(sent.bytes[..2], [0, 77]);
    let good = reply(&sent.bytes, 0, &[record(A, 300, &[192, 0, 2, 9])], &[]);
    let mut outputs = Vec::new();
    let mut wrong_id = good.clone();
    wrong_id[1] ^= 1;
    let mut no_answer = good.clone();
    no_answer[2] &= 0x7f;
    let other = reply(
        &query(u16::from_be_bytes([sent.bytes[0], sent.bytes[1]]), "evil.org", A),
        0,
        &[],
        &[],
    );
    for message in [&wrong_id, &no_answer, &other, &good[..11].to_vec()] {
        assert!(!resolver.answer(now, sent.ask, message, &mut outputs));
    }
    assert_eq!((outputs.len(), counter(&counters, "dns_upstream_mismatched")), (0, 4));
    assert!(resolver.answer(now, sent.ask, &good, &mut outputs));
    let answer = answered(&outputs);
    assert_eq!((answer.id, answer.authoritative), (77, false));
    assert_eq!(answer.question, question("Www.Example.org", A));
    assert_eq!(answer.answers, [(A, 300, vec![192, 0, 2, 9])]);

    outputs.clear();
    resolver.query(
        now + Duration::from_secs(100),
        client(),
        &query(5, "WWW.example.org", A),
        &mut outputs,
    );
    let remembered = answered(&outputs);
    assert_eq!(remembered.answers, [(A, 200, vec![192, 0, 2, 9])]);
    assert_eq!(remembered.question, question("WWW.example.org", A));
    resolver.install(None, vec![server("192.0.2.1:53")]);
    start(&mut resolver, now, &query(6, "www.example.org", A));
}

#[test]
fn nothing_is_remembered_longer_than_it_may() {
    let (mut resolver, _) = resolver(&[], &[server("192.0.2.1:53")]);
    let now = Instant::now();
    let soa = |ttl, minimum: u32| record(SOA, ttl, &[&[0, 0][..], &[0; 16], &minimum.to_be_bytes()].concat());
    type Records = Vec<Vec<u8>>;
    let cases: [(u16, Records, Records, u64); 7] = [
        (0, vec![record(A, 1_000_000, &[1; 4])], vec![], MAX_TTL.into()),
        (0, vec![record(A, 90, &[1; 4]), record(A, 60, &[2; 4])], vec![], 60),
        (0, vec![record(A, 0x8000_0001, &[1; 4])], vec![], 0),
        (3, vec![], vec![soa(90, 40)], 40),
        (0, vec![], vec![soa(20, 40)], 20),
        (3, vec![], vec![], 0),
        (2, vec![], vec![soa(90, 90)], 0),
    ];
    for (index, (rcode, answers, authority, lasts)) in cases.iter().enumerate() {
        let message = query(1, &format!("{index}.example"), A);
        let sent = start(&mut resolver, now, &message);
        let mut outputs = Vec::new();
        assert!(resolver.answer(
            now,
            sent.ask,
            &reply(&sent.bytes, *rcode, answers, authority),
            &mut outputs
        ));
        assert_eq!(answered(&outputs).rcode, *rcode);
        if *lasts > 0 {
            outputs.clear();
            resolver.query(
                now + Duration::from_millis(lasts * 1000 - 1),
                client(),
                &message,
                &mut outputs,
            );
            assert_eq!(answered(&outputs).rcode, *rcode, "case {index}");
        }
        start(&mut resolver, now + Duration::from_secs(*lasts), &message);
    }
}

#[test]
fn a_shortened_answer_is_asked_again_over_tcp() {
    let (mut resolver, _) = resolver(&[], &[server("192.0.2.1:53")]);
    let now = Instant::now();
    let first = start(&mut resolver, now, &query(1, "big.example", A));
    assert_eq!(first.transport, Transport::Udp);
    let mut outputs = Vec::new();
    assert!(resolver.answer(now, first.ask, &reply(&first.bytes, 0x200, &[], &[]), &mut outputs));
    let again = asked(&outputs);
    assert_eq!((again.transport, again.upstream), (Transport::Tcp, first.upstream));
    assert_ne!(again.bytes[..2], first.bytes[..2]);
    outputs.clear();
    let many: Vec<_> = (0..60).map(|last| record(A, 60, &[10, 0, 0, last])).collect();
    let whole = reply(&again.bytes, 0, &many, &[]);
    assert!(resolver.answer(now, first.ask, &whole, &mut outputs));
    assert!(outputs.is_empty(), "the former question is over");
    assert!(resolver.answer(now, again.ask, &whole, &mut outputs));
    assert!(
        answered(&outputs).truncated,
        "it does not fit the asker's datagram either"
    );
    outputs.clear();
    resolver.query(now, Client::Tcp(4), &query(2, "big.example", A), &mut outputs);
    assert_eq!(answered(&outputs).answers.len(), 60);
}

#[test]
fn upstreams_are_asked_in_turn_and_the_silent_one_last_for_a_while() {
    let both = [server("192.0.2.1:53"), server("192.0.2.2:53")];
    let (mut resolver, _) = resolver(&[], &both);
    let now = Instant::now();
    let first = start(&mut resolver, now, &query(1, "a.example", A));
    assert_eq!(first.upstream, both[0]);
    let mut outputs = Vec::new();
    resolver.failed(now, first.ask, &mut outputs);
    let second = asked(&outputs);
    assert_eq!(second.upstream, both[1]);
    outputs.clear();
    // REFUSED by the last one is what is to be told.
    assert!(resolver.answer(now, second.ask, &reply(&second.bytes, 5, &[], &[]), &mut outputs));
    assert_eq!(answered(&outputs).rcode, 5);
    let next = start(&mut resolver, now, &query(1, "b.example", A));
    assert_eq!(next.upstream, both[1]);
    outputs.clear();
    assert!(resolver.answer(now, next.ask, &reply(&next.bytes, 2, &[], &[]), &mut outputs));
    let other = asked(&outputs);
    assert_eq!(other.upstream, both[0]);
    outputs.clear();
    resolver.failed(now, other.ask, &mut outputs);
    assert_eq!(answered(&outputs).rcode, 2);
    let later = start(&mut resolver, now + Duration::from_secs(60), &query(1, "c.example", A));
    assert_eq!(later.upstream, both[0]);
}

#[test]
fn we_never_ask_ourselves() {
    let own = [server("127.83.0.1:53")];
    let (mut resolver, _) = resolver(&[("corp", &own)], &own);
    for name in ["www.corp", "example.org"] {
        let mut outputs = Vec::new();
        resolver.query(Instant::now(), client(), &query(1, name, A), &mut outputs);
        assert_eq!(answered(&outputs).rcode, 5);
    }
}

#[test]
fn a_question_is_asked_once_however_often_it_comes() {
    let (mut resolver, counters) = resolver(&[], &[server("127.0.0.1:53")]);
    let now = Instant::now();
    let sent = start(&mut resolver, now, &query(1, "loop.example", A));
    let mut outputs = Vec::new();
    for id in 0..1000 {
        let from = Client::Udp(SocketAddr::new("127.0.0.1".parse().unwrap(), 5000 + id));
        resolver.query(now, from, &query(id, "LOOP.example", A), &mut outputs);
    }
    assert!(outputs.is_empty());
    assert_eq!(counter(&counters, "dns_dropped_queue"), 985);
    resolver.failed(now, sent.ask, &mut outputs);
    assert_eq!(outputs.len(), 16);
}

#[test]
fn a_flood_is_bounded_in_time_and_number() {
    let (mut resolver, counters) = resolver(&[], &[server("192.0.2.1:53")]);
    let now = Instant::now();
    let (mut asks, mut gone) = (0_usize, 0);
    for number in 0..2 * MAX_RATE {
        let mut outputs = Vec::new();
        resolver.query(now, client(), &query(1, &format!("{number}.example"), A), &mut outputs);
        for output in outputs {
            match output {
                Output::Ask { .. } => asks += 1,
                Output::Forget(_) => gone += 1,
                Output::Answer { bytes, .. } => assert_eq!(read(&bytes).rcode, 2),
            }
        }
    }
    assert_eq!(asks - gone, MAX_PENDING);
    assert_eq!(counter(&counters, "dns_dropped_rate"), MAX_RATE.into());
    let mut outputs = Vec::new();
    resolver.query(
        now + Duration::from_secs(1),
        client(),
        &query(1, "host1.main.cvlan.internal", A),
        &mut outputs,
    );
    assert_eq!(answered(&outputs).answers.len(), 1);
    outputs.clear();
    resolver.close(&mut outputs);
    assert_eq!(outputs.len(), 2 * MAX_PENDING);
}

#[test]
fn edns_of_the_asker_is_not_passed_on_but_for_dnssec() {
    let (mut resolver, _) = resolver(&[], &[server("192.0.2.1:53")]);
    let mut message = edns_query(1, "a.example", A, 4096);
    let at = message.len() - 2;
    // A cookie (RFC 7873) is between the asker and us.
    message[at + 1] = 12;
    message.extend([0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    let plain = start(&mut resolver, Instant::now(), &message);
    assert_eq!(plain.bytes, {
        let mut expected = edns_query(0, "a.example", A, 1232);
        expected[..2].copy_from_slice(&plain.bytes[..2]);
        expected
    });
}
