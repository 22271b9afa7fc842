//! Names of the overlay.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::*;
use cvlan_dns::{NEGATIVE_TTL, Resolver, ZONE_TTL};
use std::time::Instant;

fn ask(resolver: &mut Resolver, message: &[u8]) -> Read {
    let mut outputs = Vec::new();
    resolver.query(Instant::now(), client(), message, &mut outputs);
    answered(&outputs)
}

#[test]
fn addresses_of_a_node_in_the_case_that_was_asked() {
    let (mut resolver, counters) = resolver(&[], &[]);
    let a = ask(&mut resolver, &query(9, "HosT2.Main.cvlan.INTERNAL", A));
    assert_eq!((a.id, a.rcode, a.authoritative), (9, 0, true));
    assert_eq!(a.question, question("HosT2.Main.cvlan.INTERNAL", A));
    assert_eq!(a.answers, [(A, ZONE_TTL, vec![100, 64, 0, 2])]);
    let aaaa = ask(&mut resolver, &query(10, "host2.main.cvlan.internal", AAAA));
    assert_eq!(aaaa.answers[0].2[..2], [0xfd, 0]);
    let any = ask(&mut resolver, &query(11, "host1.main.cvlan.internal", ANY));
    assert_eq!(any.answers.len(), 2);
    assert_eq!(counter(&counters, "dns_answered_zone"), 3);
}

#[test]
fn reverse_names_of_both_families() {
    let (mut resolver, _) = resolver(&[], &[]);
    let v6 = format!("2.{}0.0.d.f.ip6.arpa", "0.".repeat(27));
    for reverse in ["2.0.64.100.in-addr.arpa", &v6] {
        let answer = ask(&mut resolver, &query(1, reverse, PTR));
        assert_eq!(answer.answers, [(PTR, ZONE_TTL, name("host2.main.cvlan.internal"))]);
    }
}

#[test]
fn what_is_not_there_is_denied_with_a_lifetime() {
    let (mut resolver, _) = resolver(&[], &[server("192.0.2.1:53")]);
    let v6 = format!("9.{}0.0.d.f.ip6.arpa", "0.".repeat(27));
    for absent in [
        "host3.main.cvlan.internal",
        "a.host1.main.cvlan.internal",
        "9.0.64.100.in-addr.arpa",
        &v6,
    ] {
        let answer = ask(&mut resolver, &query(1, absent, A));
        assert_eq!((answer.rcode, answer.authoritative), (3, true), "{absent}");
        assert_eq!((answer.authority[0].0, answer.authority[0].1), (SOA, NEGATIVE_TTL));
    }
    for (present, kind) in [
        ("host1.main.cvlan.internal", 15),
        ("main.cvlan.internal", A),
        ("64.100.in-addr.arpa", PTR),
        ("0.64.100.in-addr.arpa", PTR),
        ("2.0.64.100.in-addr.arpa", A),
    ] {
        let answer = ask(&mut resolver, &query(1, present, kind));
        assert_eq!((answer.rcode, answer.answers.len()), (0, 0), "{present}");
        assert_eq!(answer.authority[0].0, SOA);
    }
    let soa = ask(&mut resolver, &query(1, "main.cvlan.internal", SOA));
    assert_eq!(soa.answers[0].0, SOA);
}

#[test]
fn without_a_zone_nothing_is_ours() {
    let (mut resolver, _) = resolver(&[], &[]);
    resolver.install(None, Vec::new());
    let answer = ask(&mut resolver, &query(1, "host1.main.cvlan.internal", A));
    assert_eq!((answer.rcode, answer.authoritative), (5, false));
}

#[test]
fn a_long_answer_is_shortened_unless_the_asker_takes_it() {
    let mut many = cvlan_testkit::node(3, [3; 32]);
    let more = many.addresses[1].clone();
    for last in 100..114 {
        let mut next = more.clone();
        next.address[15] = last;
        many.addresses.push(next);
    }
    let (mut resolver, counters) = resolver(&[], &[]);
    let long = "l".repeat(60);
    many.name = long.clone();
    resolver.install(Some(zone(&[], &[many])), Vec::new());
    let asked = format!("{long}.main.cvlan.internal");
    let short = ask(&mut resolver, &query(1, &asked, AAAA));
    assert_eq!((short.truncated, short.answers.len()), (true, 0));
    let whole = ask(&mut resolver, &edns_query(1, &asked, AAAA, 1232));
    assert_eq!((whole.truncated, whole.answers.len(), whole.additional), (false, 15, 1));
    let mut outputs = Vec::new();
    resolver.query(
        Instant::now(),
        cvlan_dns::Client::Tcp(1),
        &query(1, &asked, AAAA),
        &mut outputs,
    );
    assert_eq!(answered(&outputs).answers.len(), 15);
    assert_eq!(counter(&counters, "dns_truncated"), 1);
}
