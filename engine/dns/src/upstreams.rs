//! Who answers for a name: the longest suffix wins.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cvlan_wire::DnsRoute;

use crate::name::Name;

/// How long a server that did not answer is asked last.
const AVOID: Duration = Duration::from_secs(10);
/// Servers of which this is remembered.
const MAX_AVOIDED: usize = 32;

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The map, by names.
    Forward,
    /// The map, by addresses.
    Reverse,
    /// Other servers, asked in turn.
    Servers(Arc<[SocketAddr]>),
}

/// Suffixes and who answers for them.
#[derive(Debug, Default)]
pub(crate) struct Upstreams(HashMap<Name, Target>);

impl Upstreams {
    pub(crate) fn compile(routes: &[DnsRoute], apex: &Name, reverse_zones: &[String]) -> Self {
        let routes = routes.iter().filter_map(|route| {
            Some((
                Name::from_text(&route.suffix)?,
                Target::Servers(route.upstreams.as_slice().into()),
            ))
        });
        let reverse = reverse_zones
            .iter()
            .filter_map(|zone| Some((Name::from_text(zone)?, Target::Reverse)));
        // The later wins: what the map itself answers is nobody else's.
        Self(routes.chain(reverse).chain([(apex.clone(), Target::Forward)]).collect())
    }

    pub(crate) fn target(&self, name: &Name) -> Option<&Target> {
        name.suffixes().find_map(|suffix| self.0.get(suffix))
    }

    /// The suffix that the name belongs to.
    pub(crate) fn zone_of(&self, name: &Name) -> Option<Name> {
        name.suffixes()
            .find_map(|suffix| self.0.get_key_value(suffix))
            .map(|(zone, _)| zone.clone())
    }
}

/// Servers that did not answer lately.
#[derive(Debug, Default)]
pub(crate) struct Avoided(VecDeque<(SocketAddr, Instant)>);

impl Avoided {
    pub(crate) fn add(&mut self, server: SocketAddr, now: Instant) {
        self.remove(server);
        self.0.push_back((server, now + AVOID));
        if self.0.len() > MAX_AVOIDED {
            self.0.pop_front();
        }
    }

    pub(crate) fn remove(&mut self, server: SocketAddr) {
        self.0.retain(|(avoided, _)| *avoided != server);
    }

    /// The same servers, those that did not answer lately last.
    pub(crate) fn order(&self, servers: impl Iterator<Item = SocketAddr>, now: Instant) -> VecDeque<SocketAddr> {
        let avoided = |server: &SocketAddr| self.0.iter().any(|(avoided, until)| avoided == server && now < *until);
        let (last, first): (Vec<_>, Vec<_>) = servers.partition(avoided);
        first.into_iter().chain(last).collect()
    }
}
