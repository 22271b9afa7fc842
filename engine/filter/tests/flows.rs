//! Flows: answers pass, nothing else does; a policy that changes cuts them; the table stays as it was made.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::*;
use cvlan_filter::{Admission, Basis, Compiled, Direction, Flows, Judgement};
use cvlan_wire::packet::tcp_flags::{ACK, FIN, RST, SYN};
use cvlan_wire::{Action, Fragment, IcmpKind, Meta, Node, PeerHandle, Protocol, Quoted, Rule, RuleProtocol, Transport};

const A: &str = "100.64.0.1";
const B: &str = "100.64.0.2";
const C: &str = "100.64.0.3";

struct Engine {
    policy: Compiled,
    flows: Flows,
    now: Instant,
    own: Arc<Node>,
    peer: Arc<Node>,
}

impl Engine {
    fn new(rules: &[Rule]) -> Self {
        let (own, peer) = (node(1, &[A, "fd00::1"], &[], &[]), node(2, &[B, "fd00::2"], &[], &[]));
        let policy = compile(1, &own, &peer, rules);
        Self {
            policy,
            flows: Flows::new(1024, [1, 2]),
            now: Instant::now(),
            own,
            peer,
        }
    }

    fn set_rules(&mut self, rules: &[Rule]) {
        self.policy = compile(self.policy.generation() + 1, &self.own, &self.peer, rules);
    }

    fn judge(&self, direction: Direction, meta: &Meta) -> Judgement {
        self.flows
            .judge(&self.policy, direction, PEER, meta, self.now, Admission::New)
    }

    fn send(&self, meta: &Meta) -> bool {
        self.judge(Direction::Outbound, meta).allowed
    }

    fn receive(&self, meta: &Meta) -> bool {
        self.judge(Direction::Inbound, meta).allowed
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

/// From A to B only, one kind of traffic.
fn one_way(protocol: RuleProtocol, ports: &[(u16, u16)]) -> Rule {
    let node = |id: &str| vec![cvlan_wire::Selector::Node(id.into())];
    Rule {
        sources: node("node_1"),
        destinations: node("node_2"),
        ..rule(1, Action::Allow, protocol, ports)
    }
}

#[test]
fn answers_pass_and_nothing_else() {
    let engine = Engine::new(&[one_way(RuleProtocol::Tcp, &[(443, 443)])]);
    assert!(
        !engine.receive(&tcp((B, 443), (A, 5000), SYN | ACK)),
        "an answer before the question"
    );
    assert!(engine.send(&syn((A, 5000), (B, 443))));
    assert!(engine.receive(&tcp((B, 443), (A, 5000), SYN | ACK)));
    assert!(engine.send(&tcp((A, 5000), (B, 443), ACK)));
    assert!(!engine.receive(&tcp((B, 443), (A, 5001), ACK)));
    assert!(!engine.receive(&tcp((B, 444), (A, 5000), ACK)));
    assert!(!engine.receive(&udp((B, 443), (A, 5000))));
    assert!(
        !engine.receive(&syn((B, 443), (A, 5000))),
        "a connection backwards on the ports of a flow"
    );
    assert!(!engine.send(&syn((A, 5000), (B, 444))));
    assert_eq!(engine.flows.len(), 1);
}

/// The same table in another process, whose policy is given.
fn told_to(engine: &Engine, rules: &[Rule]) -> Engine {
    let next = Engine {
        now: engine.now,
        ..Engine::new(rules)
    };
    for told in engine.flows.tell(engine.now) {
        next.flows.adopt(&next.policy, &told, next.now);
    }
    next
}

#[test]
fn flows_that_were_told_go_on_as_far_as_the_policy_there_allows_them() {
    let rule = one_way(RuleProtocol::Tcp, &[(443, 443)]);
    let mut engine = Engine::new(std::slice::from_ref(&rule));
    let (there, back) = (syn((A, 5000), (B, 443)), tcp((B, 443), (A, 5000), ACK));
    assert!(engine.send(&there) && engine.receive(&back));
    assert!(engine.send(&syn((A, 5001), (B, 443))));
    engine.wait(100);
    let next = told_to(&engine, std::slice::from_ref(&rule));
    assert_eq!(next.flows.len(), 2);
    assert!(
        next.receive(&back),
        "the answer passes before anything was sent from there"
    );
    assert!(!next.receive(&syn((B, 443), (A, 5000))), "who began it is known");
    engine.wait(30);
    let later = told_to(&engine, std::slice::from_ref(&rule));
    assert_eq!(
        later.flows.len(),
        1,
        "one that only one side spoke in for two minutes is over"
    );
    assert_eq!(told_to(&engine, &[]).flows.len(), 0, "the rule is not there");
    let narrower = one_way(RuleProtocol::Tcp, &[(444, 444)]);
    assert!(
        !told_to(&engine, &[narrower]).receive(&back),
        "the rule of that id allows something else there"
    );
}

#[test]
fn a_connection_is_picked_up_in_the_middle_from_the_allowed_end() {
    let engine = Engine::new(&[one_way(RuleProtocol::Tcp, &[])]);
    assert!(!engine.receive(&tcp((B, 443), (A, 5000), ACK)));
    assert!(engine.send(&tcp((A, 5000), (B, 443), ACK)));
    assert!(engine.receive(&tcp((B, 443), (A, 5000), ACK)));
}

#[test]
fn a_rule_that_goes_cuts_its_flows() {
    let rule = one_way(RuleProtocol::Tcp, &[(443, 443)]);
    let mut engine = Engine::new(std::slice::from_ref(&rule));
    let (there, back) = (tcp((A, 5000), (B, 443), ACK), tcp((B, 443), (A, 5000), ACK));
    assert!(engine.send(&there) && engine.receive(&back));
    engine.set_rules(&[]);
    assert!(!engine.receive(&back));
    assert!(!engine.send(&there));
    assert_eq!(engine.flows.len(), 0);

    engine.set_rules(std::slice::from_ref(&rule));
    assert!(engine.send(&there) && engine.receive(&back));
    let deny = Rule {
        id: [9; 16],
        action: Action::Deny,
        ..one_way(RuleProtocol::Tcp, &[(1, 500)])
    };
    engine.set_rules(&[rule.clone(), deny]);
    assert!(!engine.receive(&back) && !engine.send(&there));

    // Another rule that allows the same keeps the flow, now under its name.
    engine.set_rules(&[rule]);
    assert!(engine.send(&there));
    engine.set_rules(&[Rule {
        id: [7; 16],
        ..one_way(RuleProtocol::Any, &[])
    }]);
    assert_eq!(engine.judge(Direction::Inbound, &back).basis, Basis::Flow([7; 16]));
}

#[test]
fn an_older_policy_does_not_judge_a_flow_of_a_newer_one() {
    let mut engine = Engine::new(&[]);
    let older = engine.policy.clone();
    engine.set_rules(&[one_way(RuleProtocol::Udp, &[])]);
    assert!(engine.send(&udp((A, 1), (B, 2))));
    let seen = engine.flows.judge(
        &older,
        Direction::Inbound,
        PEER,
        &udp((B, 2), (A, 1)),
        engine.now,
        Admission::New,
    );
    assert!(seen.allowed);
}

#[test]
fn flows_are_forgotten_in_their_time() {
    let mut engine = Engine::new(&[one_way(RuleProtocol::Any, &[])]);
    assert!(engine.send(&udp((A, 1), (B, 2))));
    engine.wait(179);
    assert!(engine.receive(&udp((B, 2), (A, 1))));
    engine.wait(180);
    assert!(!engine.receive(&udp((B, 2), (A, 1))));

    assert!(engine.send(&syn((A, 1), (B, 2))));
    engine.wait(120);
    assert!(!engine.receive(&tcp((B, 2), (A, 1), SYN | ACK)), "half open");
    assert!(engine.send(&syn((A, 1), (B, 2))) && engine.receive(&tcp((B, 2), (A, 1), SYN | ACK)));
    engine.wait(5 * 24 * 3600 - 1);
    assert!(engine.receive(&tcp((B, 2), (A, 1), ACK)));
    for end in [FIN, RST] {
        assert!(engine.receive(&tcp((B, 2), (A, 1), end)));
        engine.wait(119);
        assert!(engine.receive(&tcp((B, 2), (A, 1), ACK)));
    }
    engine.wait(120);
    assert!(!engine.receive(&tcp((B, 2), (A, 1), ACK)));
}

#[test]
fn echo_has_a_direction() {
    let engine = Engine::new(&[one_way(RuleProtocol::Icmp, &[])]);
    for (a, b) in [(A, B), ("fd00::1", "fd00::2")] {
        let request = |from, to| icmp(from, to, IcmpKind::Request { identifier: 7 });
        let reply = |from, to, identifier| icmp(from, to, IcmpKind::Reply { identifier });
        assert!(!engine.receive(&reply(b, a, 7)));
        assert!(engine.send(&request(a, b)));
        assert!(engine.receive(&reply(b, a, 7)));
        assert!(!engine.receive(&reply(b, a, 8)));
        assert!(
            !engine.receive(&request(b, a)),
            "a ping backwards under the identifier of ours"
        );
        assert!(!engine.send(&reply(a, b, 7)));
    }
}

#[test]
fn errors_pass_only_about_a_flow_of_the_same_peer() {
    let engine = Engine::new(&[one_way(RuleProtocol::Udp, &[(53, 53)])]);
    let error = |a: &str, b: &str, port| {
        let quoted = Quoted {
            source: a.parse().unwrap(),
            destination: b.parse().unwrap(),
            protocol: Protocol::UDP,
            source_port: 4000,
            destination_port: port,
        };
        icmp(b, a, IcmpKind::Error(Some(quoted)))
    };
    for (a, b) in [(A, B), ("fd00::1", "fd00::2")] {
        assert!(!engine.receive(&error(a, b, 53)));
        assert!(engine.send(&udp((a, 4000), (b, 53))));
        assert!(engine.receive(&error(a, b, 53)));
        assert!(!engine.receive(&error(a, b, 54)));
        assert!(
            !engine.receive(&error(b, a, 53)),
            "an error about a packet that went the other way"
        );
        assert!(!engine.receive(&icmp(b, a, IcmpKind::Error(None))));
        let stranger = PeerHandle(5);
        let judged = engine.flows.judge(
            &engine.policy,
            Direction::Inbound,
            stranger,
            &error(a, b, 53),
            engine.now,
            Admission::New,
        );
        assert!(!judged.allowed);
    }
}

#[test]
fn fragments_follow_their_first() {
    let rule = one_way(RuleProtocol::Udp, &[(53, 53)]);
    let mut engine = Engine::new(std::slice::from_ref(&rule));
    let first = |port, identification| Meta {
        fragment: Some(Fragment {
            identification,
            offset: 0,
        }),
        ..udp((A, 4000), (B, port))
    };
    let later = |identification| Meta {
        fragment: Some(Fragment {
            identification,
            offset: 1400,
        }),
        ..packet(A, B, Protocol::UDP, Transport::Absent)
    };
    assert!(!engine.send(&later(1)));
    assert!(engine.send(&first(53, 1)) && engine.send(&later(1)));
    assert!(!engine.send(&later(2)));
    assert!(!engine.receive(&later(1)));
    assert!(!engine.send(&first(54, 2)) && !engine.send(&later(2)));
    assert!(
        !engine.send(&first(54, 1)) && !engine.send(&later(1)),
        "a denied first fragment takes the rest along"
    );
    assert!(engine.send(&first(53, 3)));
    engine.wait(15);
    assert!(!engine.send(&later(3)));
    assert!(engine.send(&first(53, 4)));
    engine.set_rules(&[rule]);
    assert!(engine.send(&later(4)), "a policy that changed and still allows it");
    engine.set_rules(&[]);
    assert!(!engine.send(&later(4)), "a policy that allows it no more");
}

#[test]
fn fragments_of_both_families_and_of_answers_follow_their_first() {
    let engine = Engine::new(&[one_way(RuleProtocol::Udp, &[(53, 53)])]);
    for (a, b) in [(A, B), ("fd00::1", "fd00::2")] {
        let first = |meta: Meta| Meta {
            fragment: Some(Fragment {
                identification: 9,
                offset: 0,
            }),
            ..meta
        };
        let later = |from, to| Meta {
            fragment: Some(Fragment {
                identification: 9,
                offset: 1232,
            }),
            ..packet(from, to, Protocol::UDP, Transport::Absent)
        };
        assert!(!engine.receive(&later(b, a)));
        assert!(!engine.receive(&first(udp((b, 53), (a, 4000)))), "nobody asked");
        assert!(engine.send(&first(udp((a, 4000), (b, 53)))) && engine.send(&later(a, b)));
        assert!(engine.receive(&first(udp((b, 53), (a, 4000)))) && engine.receive(&later(b, a)));
    }
}

#[test]
fn a_flood_of_first_fragments_takes_no_room_from_other_peers() {
    let (own, victim, flooder) = three();
    let policy = Compiled::new(
        1,
        Some(own),
        [(PEER, victim), (PeerHandle(1), flooder)].into_iter(),
        [Arc::new(rule(1, Action::Allow, RuleProtocol::Any, &[]))],
    );
    let flows = Flows::new(1024, [1, 2]);
    let now = Instant::now();
    let judge = |peer, meta: &Meta| {
        let judged = flows.judge(&policy, Direction::Inbound, peer, meta, now, Admission::New);
        judged.allowed
    };
    let part = |meta: Meta, identification, offset| Meta {
        fragment: Some(Fragment { identification, offset }),
        ..meta
    };
    for datagram in 0..50 {
        assert!(judge(PEER, &part(udp((B, 9), (A, 9)), datagram, 0)));
    }
    for datagram in 0..50_000 {
        assert!(judge(PeerHandle(1), &part(udp((C, 9), (A, 9)), datagram, 0)));
    }
    for datagram in 0..50 {
        let rest = packet(B, A, Protocol::UDP, Transport::Absent);
        assert!(judge(PEER, &part(rest, datagram, 1400)), "{datagram}");
    }
}

fn three() -> (Arc<Node>, Arc<Node>, Arc<Node>) {
    (
        node(1, &[A], &[], &[]),
        node(2, &[B], &[], &[]),
        node(3, &[C], &[], &[]),
    )
}

/// Also when something here answers all that the peer sends, so that its flows count as established.
#[test]
fn a_peer_that_opens_endless_flows_evicts_none_of_the_established_ones_of_others() {
    for answered in [false, true] {
        let (own, victim, flooder) = three();
        let policy = Compiled::new(
            1,
            Some(own),
            [(PEER, victim), (PeerHandle(1), flooder)].into_iter(),
            [Arc::new(rule(1, Action::Allow, RuleProtocol::Any, &[]))],
        );
        let flows = Flows::new(4096, [1, 2]);
        let now = Instant::now();
        let judge =
            |direction, peer, meta: &Meta, now| flows.judge(&policy, direction, peer, meta, now, Admission::New);
        for port in 0..256 {
            assert!(judge(Direction::Outbound, PEER, &syn((A, port), (B, 80)), now).allowed);
            assert!(judge(Direction::Inbound, PEER, &tcp((B, 80), (A, port), SYN | ACK), now).allowed);
        }
        let later = now + Duration::from_secs(60);
        for port in 0..60_000 {
            assert!(judge(Direction::Inbound, PeerHandle(1), &syn((C, port), (A, 80)), later).allowed);
            if answered {
                let answer = tcp((A, 80), (C, port), SYN | ACK);
                assert!(judge(Direction::Outbound, PeerHandle(1), &answer, later).allowed);
            }
        }
        assert!(flows.len() <= 4096);
        for port in 0..256 {
            let judged = judge(Direction::Inbound, PEER, &tcp((B, 80), (A, port), ACK), later);
            assert_eq!(judged.basis, Basis::Flow([1; 16]), "{port}, answered: {answered}");
        }
    }
}

#[test]
fn rules_count_what_they_decide_and_keep_it_when_they_change() {
    let deny = Rule {
        protocol: RuleProtocol::Udp,
        ..rule(2, Action::Deny, RuleProtocol::Udp, &[(53, 53)])
    };
    let allow = one_way(RuleProtocol::Any, &[]);
    let mut engine = Engine::new(&[allow.clone(), deny.clone()]);
    let counted = |engine: &Engine, id: u8| {
        let count = engine.policy.counts().find(|(rule, _)| rule.id == [id; 16]).unwrap().1;
        (count.packets, count.bytes)
    };
    assert_eq!((counted(&engine, 1), counted(&engine, 2)), ((0, 0), (0, 0)));
    assert!(engine.send(&syn((A, 1), (B, 80))) && engine.receive(&tcp((B, 80), (A, 1), SYN | ACK)));
    assert!(!engine.send(&udp((A, 1), (B, 53))));
    assert!(!engine.receive(&syn((B, 5), (A, 80))), "no rule speaks");
    assert_eq!((counted(&engine, 1), counted(&engine, 2)), ((2, 200), (1, 100)));

    let narrower = Rule {
        protocol: RuleProtocol::Tcp,
        ..allow
    };
    let mut next = engine.policy.followed_by(2);
    next.change_rules([], [Arc::new(narrower)]);
    engine.policy = next;
    assert!(engine.receive(&tcp((B, 80), (A, 1), ACK)));
    assert_eq!((counted(&engine, 1), counted(&engine, 2)), ((3, 300), (1, 100)));
    let mut next = engine.policy.followed_by(3);
    next.change_rules([[1; 16]], []);
    engine.policy = next;
    assert!(!engine.receive(&tcp((B, 80), (A, 1), ACK)));
    assert_eq!(engine.policy.counts().count(), 1);
}

#[test]
fn a_stale_map_may_keep_flows_and_start_none() {
    let engine = Engine::new(&[one_way(RuleProtocol::Udp, &[])]);
    let judge = |direction, meta: &Meta| {
        engine.flows.judge(
            &engine.policy,
            direction,
            PEER,
            meta,
            engine.now,
            Admission::EstablishedOnly,
        )
    };
    assert_eq!(judge(Direction::Outbound, &udp((A, 1), (B, 2))).basis, Basis::Stale);
    assert!(engine.send(&udp((A, 1), (B, 2))));
    assert!(judge(Direction::Inbound, &udp((B, 2), (A, 1))).allowed);
    assert!(!judge(Direction::Outbound, &udp((A, 1), (B, 3))).allowed);
}

#[test]
fn a_flood_evicts_itself_and_not_what_is_established() {
    let mut engine = Engine::new(&[rule(1, Action::Allow, RuleProtocol::Any, &[])]);
    assert!(engine.send(&syn((A, 1), (B, 2))) && engine.receive(&tcp((B, 2), (A, 1), SYN | ACK)));
    engine.wait(1);
    for source in 1..=60_000 {
        assert!(engine.receive(&syn((B, source), (A, 80))));
    }
    assert!(engine.flows.len() <= 1024, "{}", engine.flows.len());
    let answer = engine.judge(Direction::Inbound, &tcp((B, 2), (A, 1), ACK));
    assert_eq!(answer.basis, Basis::Flow([1; 16]));
}

#[test]
fn a_preview_says_what_would_be_and_changes_nothing() {
    let engine = Engine::new(&[one_way(RuleProtocol::Udp, &[(53, 53)])]);
    let preview = |direction, meta: &Meta| {
        engine
            .flows
            .preview(&engine.policy, direction, PEER, meta, engine.now, Admission::New)
    };
    let (there, back) = (udp((A, 1), (B, 53)), udp((B, 53), (A, 1)));
    assert_eq!(preview(Direction::Outbound, &there).basis, Basis::Rule(Some([1; 16])));
    assert_eq!(preview(Direction::Inbound, &back).basis, Basis::Rule(None));
    assert!(engine.flows.is_empty());
    assert!(engine.send(&there));
    assert_eq!(
        preview(Direction::Inbound, &back),
        Judgement {
            allowed: true,
            basis: Basis::Flow([1; 16])
        }
    );
}

#[test]
fn two_threads_share_a_table() {
    let engine = Engine::new(&[one_way(RuleProtocol::Udp, &[])]);
    std::thread::scope(|scope| {
        scope.spawn(|| (1..2000).for_each(|port| assert!(engine.send(&udp((A, port), (B, 53))))));
        let answers = scope.spawn(|| {
            (1..2000)
                .filter(|port| engine.receive(&udp((B, 53), (A, *port))))
                .count()
        });
        assert!(answers.join().unwrap() < 2000);
    });
    assert!(engine.flows.len() <= 1024 && !engine.flows.is_empty());
}
