//! Rules flattened by protocol and destination port.

use std::collections::{BTreeMap, BTreeSet};

use cvlan_wire::{Action, Rule, RuleProtocol, Transport};

/// Place of a rule in its list.
pub(crate) type RuleIndex = u32;

/// The rules of a list that mean one kind of packet and come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct First {
    pub deny: Option<RuleIndex>,
    pub allow: Option<RuleIndex>,
}

/// The kind of a packet, as rules tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp(u16),
    Udp(u16),
    Icmp,
    Other,
}

impl Kind {
    /// None for a packet without its upper-layer header.
    pub(crate) fn of(transport: &Transport) -> Option<Self> {
        match *transport {
            Transport::Tcp { destination, .. } => Some(Self::Tcp(destination)),
            Transport::Udp { destination, .. } => Some(Self::Udp(destination)),
            Transport::Icmp(_) => Some(Self::Icmp),
            Transport::Other => Some(Self::Other),
            Transport::Absent => None,
        }
    }

    /// True when the rule's protocol and ports mean packets of this kind.
    pub(crate) fn is_meant_by(self, rule: &Rule) -> bool {
        let holds = |port: u16| {
            rule.ports.is_empty()
                || rule
                    .ports
                    .iter()
                    .any(|range| (range.first..=range.last).contains(&port))
        };
        match (self, rule.protocol) {
            (_, RuleProtocol::Any) | (Self::Icmp, RuleProtocol::Icmp) => true,
            (Self::Tcp(port), RuleProtocol::Tcp) | (Self::Udp(port), RuleProtocol::Udp) => holds(port),
            _ => false,
        }
    }
}

/// What the rules of one list say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decisions {
    tcp: Vec<(u16, First)>,
    udp: Vec<(u16, First)>,
    icmp: First,
    other: First,
}

impl Decisions {
    /// `applicable` are the rules of the list, ascending.
    pub(crate) fn compile(applicable: &[(RuleIndex, &Rule)]) -> Self {
        let whole = |kind: Kind| {
            let first = |action: Action| {
                let fits = |rule: &Rule| rule.action == action && kind.is_meant_by(rule);
                applicable.iter().find(|(_, rule)| fits(rule)).map(|(index, _)| *index)
            };
            First {
                deny: first(Action::Deny),
                allow: first(Action::Allow),
            }
        };
        Self {
            tcp: sweep(applicable, RuleProtocol::Tcp),
            udp: sweep(applicable, RuleProtocol::Udp),
            icmp: whole(Kind::Icmp),
            other: whole(Kind::Other),
        }
    }

    pub(crate) fn decide(&self, kind: Kind) -> First {
        match kind {
            Kind::Tcp(port) => at(&self.tcp, port),
            Kind::Udp(port) => at(&self.udp, port),
            Kind::Icmp => self.icmp,
            Kind::Other => self.other,
        }
    }
}

fn at(intervals: &[(u16, First)], port: u16) -> First {
    let after = intervals.partition_point(|(start, _)| *start <= port);
    let holding = after.checked_sub(1).and_then(|index| intervals.get(index));
    holding.map(|(_, first)| *first).unwrap_or_default()
}

/// Disjoint intervals of ports, each named by its start, in one pass over the ends of all ranges.
fn sweep(applicable: &[(RuleIndex, &Rule)], protocol: RuleProtocol) -> Vec<(u16, First)> {
    let mut turns: BTreeMap<u16, Vec<(bool, Action, RuleIndex)>> = BTreeMap::new();
    let mut add = |first: u16, last: u16, action: Action, index: RuleIndex| {
        turns.entry(first).or_default().push((true, action, index));
        if let Some(behind) = last.checked_add(1) {
            turns.entry(behind).or_default().push((false, action, index));
        }
    };
    for (index, rule) in applicable
        .iter()
        .filter(|(_, rule)| [protocol, RuleProtocol::Any].contains(&rule.protocol))
    {
        if rule.ports.is_empty() {
            add(0, u16::MAX, rule.action, *index);
        }
        for (first, last) in merged(rule) {
            add(first, last, rule.action, *index);
        }
    }
    let (mut denies, mut allows) = (BTreeSet::new(), BTreeSet::new());
    let mut intervals: Vec<(u16, First)> = Vec::new();
    for (port, turns) in turns {
        for (begins, action, index) in turns {
            let active = if action == Action::Deny {
                &mut denies
            } else {
                &mut allows
            };
            if begins {
                active.insert(index)
            } else {
                active.remove(&index)
            };
        }
        let first = First {
            deny: denies.first().copied(),
            allow: allows.first().copied(),
        };
        if intervals.last().map(|(_, last)| *last).unwrap_or_default() != first {
            intervals.push((port, first));
        }
    }
    intervals
}

/// The ports of one rule as disjoint ranges that do not touch, ascending.
fn merged(rule: &Rule) -> Vec<(u16, u16)> {
    let mut ranges: Vec<_> = rule.ports.iter().map(|range| (range.first, range.last)).collect();
    ranges.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}
