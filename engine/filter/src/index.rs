//! Which rules may concern a peer, without looking at the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use cvlan_wire::prefix::to_bits;
use cvlan_wire::{Action, Node, Prefix, Rule, Selector, SelectorId};

use crate::ports::RuleIndex;

/// Rules by the selectors of one of their sides.
#[derive(Clone, Debug, Default)]
pub(crate) struct SideIndex {
    any: Vec<RuleIndex>,
    by_id: HashMap<SelectorId, Vec<RuleIndex>>,
    by_node: HashMap<String, Vec<RuleIndex>>,
    by_prefix: PrefixIndex,
}

impl SideIndex {
    pub(crate) fn new<'a>(sides: impl Iterator<Item = (RuleIndex, &'a [Selector])>) -> Self {
        let mut index = Self::default();
        for (rule, selectors) in sides {
            for selector in selectors {
                match selector {
                    Selector::Any => index.any.push(rule),
                    Selector::Id(id) => index.by_id.entry(*id).or_default().push(rule),
                    Selector::Node(id) => index.by_node.entry(id.clone()).or_default().push(rule),
                    Selector::Prefix(prefix) => index.by_prefix.insert(*prefix, rule),
                }
            }
        }
        index
    }

    /// Calls `visit` for every rule whose side means `address` of `node`; for some rules more than once.
    pub(crate) fn visit(&self, rules: &[Arc<Rule>], node: &Node, address: IpAddr, mut visit: impl FnMut(RuleIndex)) {
        self.by_prefix.visit(address, &mut visit);
        let own = node.addresses.contains(&address);
        let denies = |index: RuleIndex| {
            usize::try_from(index)
                .ok()
                .and_then(|index| rules.get(index))
                .is_some_and(|rule| rule.action == Action::Deny)
        };
        let by_ids = node.selectors.iter().filter_map(|id| self.by_id.get(id));
        let by_node = self.by_node.get(&node.node_id);
        for list in by_ids.chain(by_node).chain([&self.any]) {
            for index in list.iter().copied().filter(|index| own || denies(*index)) {
                visit(index);
            }
        }
    }
}

/// True when `selectors`, one side of a rule with `action`, mean `address` of `node`.
pub(crate) fn side_means(action: Action, selectors: &[Selector], node: &Node, address: IpAddr) -> bool {
    let nodes_count = action == Action::Deny || node.addresses.contains(&address);
    selectors.iter().any(|selector| match selector {
        Selector::Any => nodes_count,
        Selector::Id(id) => nodes_count && node.selectors.contains(id),
        Selector::Node(id) => nodes_count && node.node_id == *id,
        Selector::Prefix(prefix) => prefix.contains(address),
    })
}

/// Rules by prefix: one lookup for each prefix length in use.
#[derive(Clone, Debug, Default)]
struct PrefixIndex {
    v4: HashMap<u8, HashMap<u128, Vec<RuleIndex>>>,
    v6: HashMap<u8, HashMap<u128, Vec<RuleIndex>>>,
}

impl PrefixIndex {
    fn insert(&mut self, prefix: Prefix, rule: RuleIndex) {
        let family = if prefix.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        let (first, _) = prefix.bounds();
        family
            .entry(prefix.length())
            .or_default()
            .entry(first)
            .or_default()
            .push(rule);
    }

    fn visit(&self, address: IpAddr, visit: &mut impl FnMut(RuleIndex)) {
        let (family, width): (_, u32) = if address.is_ipv4() {
            (&self.v4, 32)
        } else {
            (&self.v6, 128)
        };
        let bits = to_bits(address);
        for (length, prefixes) in family {
            let host_bits = width.saturating_sub(u32::from(*length));
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            for index in prefixes.get(&(bits & mask)).into_iter().flatten() {
                visit(*index);
            }
        }
    }
}
