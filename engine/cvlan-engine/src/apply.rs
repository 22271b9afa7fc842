//! From what is declared to what is in force.

use crate::engine::{Core, Engine};
use crate::failure::Failure;
use crate::forward::{Admission, Forwarder, Shared, Snapshot};
use crate::interface::Interface;
use crate::settings::{InterfaceKind, Settings};
use crate::userspace::{self, Bound, Port, Userspace};
use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use cvlan_filter::Compiled;
use cvlan_io::{TunError, UdpPort};
use cvlan_map::{Freshness, Map, MapDiff, StalePolicy};
use cvlan_route::{Table, Tables};
use cvlan_wg::{PeerConfig, PeerId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Frames of one declaration.
const MAX_UPDATES: usize = cvlan_map::MAX_FRAMES;

/// See [`Engine::apply`].
pub fn apply(engine: &Engine, core: &mut Core, request: pb::ApplyRequest) -> Result<pb::ApplyResponse, Failure> {
    if request.generation < core.generation {
        let message = format!("generation {} is older than {}", request.generation, core.generation);
        let remedy = "read the generation from Watch or GetStatus and go on from there";
        return Err(Failure {
            field: "generation".to_owned(),
            ..Failure::precondition("OLD_GENERATION", message, remedy)
        });
    }
    if request.updates.len() > MAX_UPDATES {
        let message = format!("{} frames in one step", request.updates.len());
        return Err(Failure::field(
            "updates",
            message,
            format!("send at most {MAX_UPDATES}"),
        ));
    }
    let now = SystemTime::now();
    let settings = request.settings.map(Settings::check).transpose()?;
    engine.identity(core)?;
    let prepared = match settings {
        Some(settings) => Some(prepare(engine, core, settings)?),
        None => None,
    };
    let former = core.identity.as_ref().and_then(|identity| identity.store.map());
    let diff = keep(engine, core, prepared.as_ref(), &request.updates, now)?;
    core.generation = request.generation;
    tracing::info_span!("engine.install").in_scope(|| take_effect(engine, core, prepared, diff.as_ref(), now))?;
    if let Some(diff) = diff {
        tell(engine, core, former.as_deref(), &diff);
    }
    let map = core.identity.as_ref().map(|identity| identity.store.position(now));
    Ok(pb::ApplyResponse {
        generation: core.generation,
        map,
    })
}

fn take_effect(
    engine: &Engine,
    core: &mut Core,
    prepared: Option<Prepared>,
    diff: Option<&MapDiff>,
    now: SystemTime,
) -> Result<(), Failure> {
    if let Some(prepared) = prepared {
        install(engine, core, prepared)?;
    } else if let Some(diff) = diff {
        if only_endpoints(diff) {
            move_endpoints(core);
        } else {
            put_in_force(core);
        }
    }
    refresh_admission(core, now);
    engine.dns.follow(core, || engine.on_failure());
    Ok(())
}

/// Comes up from kept settings; they are remembered also when that fails.
pub fn bring_up(engine: &Engine, core: &mut Core, settings: Settings) -> Result<(), Failure> {
    core.settings = Some(settings.clone());
    // Names need no interface.
    engine.dns.follow(core, || engine.on_failure());
    let prepared = prepare(engine, core, settings)?;
    install(engine, core, prepared)?;
    refresh_admission(core, SystemTime::now());
    Ok(())
}

/// Lets pass what the age of the map allows.
pub fn refresh_admission(core: &Core, now: SystemTime) {
    let Some(identity) = &core.identity else { return };
    let admission = match identity.store.freshness(now) {
        Freshness::Fresh | Freshness::Stale(StalePolicy::Keep) => Admission::Everything,
        Freshness::Stale(StalePolicy::NoNewFlows) => Admission::EstablishedFlows,
        Freshness::NoMap | Freshness::Stale(_) => Admission::Nothing,
    };
    if identity.shared.admission() != admission {
        tracing::info!(?admission, "admission");
        identity.shared.admit(admission);
    }
}

/// Settings for which the machine gave what they need.
struct Prepared {
    settings: Settings,
    interface: Arc<Interface>,
    udp: Arc<UdpPort>,
    /// With the engine's own stack.
    offers: Option<Bound>,
}

/// Gets interface and socket; those in use that still fit are kept.
fn prepare(engine: &Engine, core: &Core, mut settings: Settings) -> Result<Prepared, Failure> {
    let interface = interface(engine, core, &settings)?;
    let udp = socket(core, settings.listen_port)?;
    settings.listen_port = udp.port();
    let offers = match &*interface {
        Interface::Tun(_) => None,
        Interface::Stack(_) => Some(userspace::bind(&settings.offers, core.userspace.as_ref())?),
    };
    Ok(Prepared {
        settings,
        interface,
        udp,
        offers,
    })
}

/// The running one if it fits, or another.
fn interface(engine: &Engine, core: &Core, settings: &Settings) -> Result<Arc<Interface>, Failure> {
    if let (Some(former), Some(running)) = (&core.settings, &core.forwarder) {
        let fits = match (&**running.interface(), settings.interface_kind) {
            (Interface::Tun(_), InterfaceKind::Tun | InterfaceKind::Auto) => {
                former.interface_name == settings.interface_name
            }
            (Interface::Stack(_), InterfaceKind::Userspace | InterfaceKind::Auto) => true,
            (Interface::Tun(_), InterfaceKind::Userspace) | (Interface::Stack(_), InterfaceKind::Tun) => false,
        };
        if fits {
            return Ok(running.interface().clone());
        }
    }
    if settings.interface_kind == InterfaceKind::Userspace {
        return stack();
    }
    match ((engine.tun_source)(&settings.interface_name), settings.interface_kind) {
        (Ok(tun), _) => Ok(Arc::new(Interface::Tun(tun))),
        (Err(why @ (TunError::NoDevice | TunError::NotPermitted)), InterfaceKind::Auto) => {
            tracing::info!(%why, "no TUN interface: the engine's own network stack is used");
            stack()
        }
        (Err(error), _) => Err(Failure {
            field: "settings.interface_name".to_owned(),
            ..Failure::host("NO_INTERFACE", settings.interface_name.clone(), error.to_string())
        }),
    }
}

fn stack() -> Result<Arc<Interface>, Failure> {
    let port = Port::new().map_err(|error| {
        let message = format!("no network stack: {error}");
        Failure::host("NO_INTERFACE", message, "raise the limits of the process")
    })?;
    Ok(Arc::new(Interface::Stack(Arc::new(port))))
}

/// The socket of a port; of port 0 the one that the system chose before, and another when that one is taken now.
fn socket(core: &Core, asked: u16) -> Result<Arc<UdpPort>, Failure> {
    let kept = core.settings.as_ref().map_or(0, |former| former.listen_port);
    let port = if asked == 0 { kept } else { asked };
    if let Some(running) = core.forwarder.as_ref().filter(|running| running.udp().port() == port) {
        return Ok(running.udp().clone());
    }
    let bound = UdpPort::bind(port, false).or_else(|error| {
        if asked == 0 {
            UdpPort::bind(0, false)
        } else {
            Err(error)
        }
    });
    bound.map(Arc::new).map_err(|error| Failure {
        field: "settings.listen_port".to_owned(),
        ..Failure::host(
            "NO_PORT",
            format!("UDP port {port}: {error}"),
            "use another listen_port, or end the process that holds this one",
        )
    })
}

/// Verifies and keeps everything, or nothing.
fn keep(
    engine: &Engine,
    core: &mut Core,
    prepared: Option<&Prepared>,
    step: &[cloudvlan_gen::cloudvlan::entity::v1::MapUpdate],
    now: SystemTime,
) -> Result<Option<MapDiff>, Failure> {
    let former = core.settings.clone();
    let identity = engine.identity(core)?;
    if let Some(prepared) = prepared {
        if identity.store.membership().is_none() && !step.is_empty() {
            identity.rehearse(&prepared.settings.membership, step, now)?;
        }
        identity.store.set_membership(prepared.settings.membership.clone())?;
        if former.as_ref() != Some(&prepared.settings) {
            prepared.settings.store(&engine.state)?;
        }
    }
    if step.is_empty() {
        return Ok(None);
    }
    let verified =
        tracing::info_span!("engine.verify_map", frames = step.len()).in_scope(|| identity.store.apply(step, now));
    verified.map(Some).map_err(|error| {
        if prepared.is_some() {
            let restored = match &former {
                Some(settings) => settings.store(&engine.state),
                None => Settings::remove(&engine.state),
            };
            if let Err(error) = restored {
                tracing::error!(%error, "the former settings could not be kept");
            }
        }
        tracing::warn!(%error, "map step refused");
        engine.events.tell("map_refused", "", error.to_string());
        error.into()
    })
}

fn install(engine: &Engine, core: &mut Core, prepared: Prepared) -> Result<(), Failure> {
    let no_threads = |error: std::io::Error| {
        let message = format!("forwarding does not start: {error}");
        Failure::host("NO_THREADS", message, "raise the limits of the process")
    };
    let Prepared {
        settings,
        interface,
        udp,
        offers,
    } = prepared;
    let mtu = settings.mtu;
    let unchanged = core
        .forwarder
        .as_ref()
        .is_some_and(|forwarder| Arc::ptr_eq(forwarder.interface(), &interface) && Arc::ptr_eq(forwarder.udp(), &udp));
    core.settings = Some(settings);
    put_in_force(core);
    let shared = engine.identity(core)?.shared.clone();
    shared.limit_packets(mtu);
    if !unchanged {
        if let Some(former) = core.forwarder.take() {
            former.stop();
        }
        let started = Forwarder::start(shared.clone(), interface.clone(), udp, engine.on_failure());
        core.forwarder = Some(started.map_err(no_threads)?);
    }
    let wanted = match &*interface {
        Interface::Stack(port) => Some(port),
        Interface::Tun(_) => None,
    };
    let fits = |running: &Userspace| wanted.is_some_and(|port| Arc::ptr_eq(port, running.port()));
    if !core.userspace.as_ref().is_some_and(fits)
        && let Some(former) = core.userspace.take()
    {
        former.stop();
    }
    if let (Some(port), Some(offers)) = (wanted, offers) {
        let mut running = match core.userspace.take() {
            Some(running) => running,
            None => Userspace::start(port.clone(), shared, mtu, engine.on_failure()).map_err(no_threads)?,
        };
        running.offer(mtu, offers);
        core.userspace = Some(running);
    }
    Ok(())
}

/// True when nothing that is signed changed.
fn only_endpoints(diff: &MapDiff) -> bool {
    *diff
        == MapDiff {
            endpoints_changed: diff.endpoints_changed.clone(),
            ..MapDiff::default()
        }
}

fn move_endpoints(core: &Core) {
    let (Some(identity), Some(_)) = (&core.identity, &core.settings) else {
        return;
    };
    let snapshot = identity.shared.snapshot();
    let map = identity.store.map().filter(|map| map.own.is_some());
    if let (Some(map), Some(table)) = (map, snapshot.table()) {
        set_peers(&identity.shared, peer_configs(&map, table));
    }
}

/// Puts the kept map in force: who is no peer any more first, so that nothing more is sealed for them.
fn put_in_force(core: &mut Core) {
    let (Some(identity), Some(settings)) = (&mut core.identity, &core.settings) else {
        return;
    };
    let Some(map) = identity.store.map() else { return };
    let Some(own) = map.own.clone() else {
        tracing::warn!("the map does not have this node: nothing is forwarded");
        set_peers(&identity.shared, Vec::new());
        identity.shared.install(Snapshot {
            map: Some(map),
            ..Snapshot::empty()
        });
        if let Some(forwarder) = &core.forwarder {
            forwarder.interface().map_changed();
        }
        return;
    };
    identity.policy_generation += 1;
    let table = Table::compile(Some(&own), map.peer_nodes());
    set_peers(&identity.shared, peer_configs(&map, &table));
    let peers = map.peers.iter().map(|(handle, peer)| (*handle, peer.node.clone()));
    let policy = Compiled::new(identity.policy_generation, Some(own), peers, &map.rules);
    let mut tables = Tables::default();
    tables.insert(settings.table_id, table);
    identity.shared.install(Snapshot {
        tables,
        table_id: settings.table_id,
        policy,
        map: Some(map),
    });
    if let Some(forwarder) = &core.forwarder {
        forwarder.interface().map_changed();
    }
}

/// Those that have a tunnel of their own. An endpoint inside the overlay would send the tunnel through itself.
fn peer_configs(map: &Map, table: &Table) -> Vec<PeerConfig> {
    let outside = |endpoint: &&SocketAddr| table.lookup(endpoint.ip().to_canonical()).is_none();
    let direct = map.peers.iter().filter(|(_, peer)| peer.node.via.is_none());
    direct
        .map(|(handle, peer)| PeerConfig {
            candidates: peer.endpoints.iter().filter(outside).copied().collect(),
            ..PeerConfig::new(PeerId(handle.0), peer.node.wireguard_public_key)
        })
        .collect()
}

fn set_peers(shared: &Shared, peers: Vec<PeerConfig>) {
    for (peer, reason) in shared.wg.set_peers(Instant::now(), peers) {
        tracing::error!(peer = peer.0, %reason, "peer refused");
    }
}

fn tell(engine: &Engine, core: &Core, former: Option<&Map>, diff: &MapDiff) {
    let current = core.identity.as_ref().and_then(|identity| identity.store.map());
    let about = [
        ("peer_added", &diff.added, current.as_deref()),
        ("peer_changed", &diff.changed, current.as_deref()),
        ("peer_removed", &diff.removed, former),
    ];
    for (name, handles, map) in about {
        for handle in handles {
            let peer = map.and_then(|map| map.peers.get(handle));
            engine.events.tell(name, peer.map_or("", |peer| &peer.node.node_id), "");
        }
    }
    if diff.rules_changed {
        engine.events.tell("policy_changed", "", "");
    }
}
