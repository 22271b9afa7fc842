//! Who claims which block of addresses, and which claim counts.

use std::net::IpAddr;

use cvlan_wire::{Prefix, PrefixMap};

use crate::NextHop;

/// What a record says of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// It is an address of the node itself.
    Address(NextHop),
    /// It lies behind the node.
    Route(NextHop),
}

impl Claim {
    fn hop(self) -> NextHop {
        match self {
            Self::Address(hop) | Self::Route(hop) => hop,
        }
    }
}

/// Claims on one block, the one that counts first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claims {
    first: Claim,
    others: Vec<Claim>,
}

impl Claims {
    fn of(claim: Claim) -> Self {
        Self {
            first: claim,
            others: Vec::new(),
        }
    }

    fn with(&self, claim: Claim) -> Self {
        let mut all = self.all();
        if let Err(place) = all.binary_search(&claim) {
            all.insert(place, claim);
        }
        Self::from_sorted(all).unwrap_or(Self::of(claim))
    }

    fn without(&self, claim: Claim) -> Option<Self> {
        let mut all = self.all();
        all.retain(|held| *held != claim);
        Self::from_sorted(all)
    }

    fn all(&self) -> Vec<Claim> {
        std::iter::once(self.first).chain(self.others.iter().copied()).collect()
    }

    fn from_sorted(mut all: Vec<Claim>) -> Option<Self> {
        let others = all.split_off(all.len().min(1));
        all.first().map(|first| Self { first: *first, others })
    }
}

/// Blocks by what claims them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blocks(PrefixMap<Claims>);

impl Blocks {
    pub(crate) fn add(&mut self, prefix: Prefix, claim: Claim) {
        let claims = self.0.get(prefix).map_or(Claims::of(claim), |held| held.with(claim));
        self.0.insert(prefix, claims);
    }

    pub(crate) fn remove(&mut self, prefix: Prefix, claim: Claim) {
        match self.0.get(prefix).map(|held| held.without(claim)) {
            Some(Some(left)) => self.0.insert(prefix, left),
            Some(None) => self.0.remove(prefix),
            None => {}
        }
    }

    /// What the smallest block that holds `address` leads to.
    pub(crate) fn lookup(&self, address: IpAddr) -> Option<NextHop> {
        self.0.matches(address).next().map(|claims| claims.first.hop())
    }
}
