//! Names of the overlay for this host: the sockets around [`cvlan_dns`], and whether they can be had.

mod ask;
mod connection;
mod serve;

use crate::apply::Step;
use crate::engine::Core;
use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_dns::{Counters, Owner, Zone};
use cvlan_map::{Map, MapDiff};
use serve::{Plan, Running};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a socket that could not be had is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Where to answer, and whom to ask for what is not of the overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// A loopback address.
    pub listen: SocketAddr,
    /// Resolvers of the host.
    pub fallback: Vec<SocketAddr>,
}

/// Where names are answered, over UDP and TCP.
pub type Sockets = (UdpSocket, TcpListener);

/// The answering of names; lives as long as the engine.
#[derive(Default)]
pub struct Dns {
    counters: Arc<Counters>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What names were made from last.
    map: Option<Arc<Map>>,
    zone: Option<Arc<Zone>>,
    running: Option<Running>,
    /// Of another process, or of before a pause; used where they fit.
    kept: Option<Sockets>,
    /// Why there is no socket, and since when.
    trouble: Option<(String, Instant)>,
}

impl Dns {
    /// Counts by their stable name.
    pub fn counters(&self) -> impl Iterator<Item = (String, u64)> {
        self.counters
            .named()
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
    }

    /// Makes what is answered what settings and map say. A socket that cannot be had keeps nothing else from working.
    /// `step` is what led to the map in force, if one did.
    pub fn follow(&self, core: &Core, step: &Step, on_failure: impl FnOnce() -> Box<dyn Fn(String) + Send + Sync>) {
        let settings = core.settings.as_ref().and_then(|settings| settings.dns.as_ref());
        let map = core.identity.as_ref().and_then(|identity| identity.store.map());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = state.adopt(map, step);
        let (Some(settings), Some(zone)) = (settings, state.zone.clone()) else {
            state.stop();
            return;
        };
        let plan = Plan {
            zone,
            fallback: settings.fallback.clone(),
        };
        if let Some(running) = state
            .running
            .as_ref()
            .filter(|running| running.listen() == settings.listen)
        {
            running.adopt(plan, changed);
            return;
        }
        let recent = state.trouble.as_ref().is_some_and(|(_, since)| since.elapsed() < RETRY);
        if recent && !changed {
            return;
        }
        if let Some(former) = state.running.take() {
            former.stop();
        }
        let kept = state.kept.take().filter(|kept| is_at(kept, settings.listen));
        match kept
            .map_or_else(|| bind(settings.listen), Ok)
            .and_then(|sockets| Running::start(sockets, plan, self.counters.clone(), on_failure()))
        {
            Ok(running) => {
                tracing::info!(listen = %settings.listen, "names are answered");
                state.running = Some(running);
                state.trouble = None;
            }
            Err(error) => {
                let why = explain(settings.listen, &error);
                if state.trouble.as_ref().is_none_or(|(former, _)| *former != why) {
                    tracing::error!(error = why, "names are not answered");
                }
                state.trouble = Some((why, Instant::now()));
            }
        }
    }

    /// What there is to know; None while nothing is to be answered.
    pub fn status(&self) -> Option<pb::DnsStatus> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let error = state.trouble.as_ref().map(|(why, _)| why.clone()).unwrap_or_default();
        let listen = state.running.as_ref().map(|running| entity::NodeEndpoint {
            address: running.listen().ip().to_string(),
            port: running.listen().port().into(),
        });
        if listen.is_none() && error.is_empty() {
            return None;
        }
        let zone = state.zone.as_ref()?;
        let dns = state.map.as_ref().and_then(|map| map.dns.clone());
        Some(pb::DnsStatus {
            listen,
            error,
            domain: zone.domain().to_owned(),
            reverse_zones: zone.reverse_zones().to_vec(),
            routes: dns.map_or_else(Vec::new, |dns| dns.routes.iter().map(Into::into).collect()),
        })
    }

    /// Answers nobody until [`Dns::follow`] is called again; what is asked meanwhile waits in the sockets.
    pub fn pause(&self) -> Option<Sockets> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running.take().map(Running::pause)
    }

    /// Sockets to go on with.
    pub fn inherit(&self, sockets: Option<Sockets>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).kept = sockets;
    }

    /// Answers nobody any more; the port is free when this returns.
    pub fn stop(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stop();
    }
}

impl State {
    /// True when names or routes are other ones than before.
    fn adopt(&mut self, map: Option<Arc<Map>>, step: &Step) -> bool {
        let same = match (&self.map, &map) {
            (Some(held), Some(next)) => Arc::ptr_eq(held, next),
            (None, None) => true,
            _ => false,
        };
        if same {
            return false;
        }
        let continues = step.continues(self.map.as_ref());
        self.map = map;
        let (Some(map), true) = (self.map.as_deref(), continues) else {
            self.zone = self.map.as_deref().and_then(zone_of);
            return true;
        };
        if step.diff.dns_changed || (self.zone.is_none() && step.diff.own_changed) {
            self.zone = zone_of(map);
            return true;
        }
        let changed = names_changed(&step.diff);
        if let (Some(zone), true) = (&self.zone, changed) {
            let next = step
                .former
                .as_deref()
                .and_then(|former| changed_zone(zone, former, map, &step.diff));
            self.zone = next.map(Arc::new);
        }
        changed
    }

    fn stop(&mut self) {
        self.trouble = None;
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

/// A node that is not in the map, or a controller that says nothing of names, leaves names alone.
fn zone_of(map: &Map) -> Option<Arc<Zone>> {
    let own = map.own.clone()?;
    let peers = map.shared_nodes().map(|(handle, node)| (Owner::Peer(handle), node));
    Zone::compile(map.dns.as_deref()?, std::iter::once((Owner::Own, own)).chain(peers)).map(Arc::new)
}

/// False when a step moves no node's record.
fn names_changed(diff: &MapDiff) -> bool {
    diff.own_changed
        || [&diff.added, &diff.changed, &diff.removed]
            .iter()
            .any(|peers| !peers.is_empty())
}

/// The zone after a step; None when this node is no longer in the map. What goes, goes first: a name may move.
fn changed_zone(zone: &Zone, former: &Map, map: &Map, diff: &MapDiff) -> Option<Zone> {
    let own = map.own.as_ref()?;
    let mut zone = zone.clone();
    for handle in diff.removed.iter().chain(&diff.changed) {
        if let Some(peer) = former.peers.get(handle) {
            zone.remove(Owner::Peer(*handle), &peer.node);
        }
    }
    if diff.own_changed {
        if let Some(before) = &former.own {
            zone.remove(Owner::Own, before);
        }
        zone.put(Owner::Own, own);
    }
    for handle in diff.added.iter().chain(&diff.changed) {
        if let Some(peer) = map.peers.get(handle) {
            zone.put(Owner::Peer(*handle), &peer.node);
        }
    }
    Some(zone)
}

fn is_at((udp, tcp): &Sockets, listen: SocketAddr) -> bool {
    let is = |local: io::Result<SocketAddr>| local.is_ok_and(|local| local == listen);
    is(udp.local_addr()) && is(tcp.local_addr())
}

fn bind(listen: SocketAddr) -> io::Result<Sockets> {
    let sockets = (UdpSocket::bind(listen)?, TcpListener::bind(listen)?);
    sockets.0.set_nonblocking(true)?;
    sockets.1.set_nonblocking(true)?;
    Ok(sockets)
}

fn explain(listen: SocketAddr, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "run the engine as root or with CAP_NET_BIND_SERVICE, or lower net.ipv4.ip_unprivileged_port_start"
        }
        io::ErrorKind::AddrInUse => "end the program that listens there; it is tried again by itself",
        _ => "see whether the loopback interface is up; it is tried again by itself",
    };
    format!("{listen}: {error}; {remedy}")
}
