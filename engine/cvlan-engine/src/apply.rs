//! From what is declared to what is in force.

use crate::engine::{Core, Engine};
use crate::failure::Failure;
use crate::forward::{Admission, Forwarder, Law, Snapshot};
use crate::interface::{Interface, bind_udp};
use crate::settings::{InterfaceKind, Settings};
use crate::userspace::{self, Bound, Port, Userspace};
use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use cvlan_filter::Compiled;
use cvlan_io::{TunError, UdpPort};
use cvlan_map::{Freshness, Map, MapDiff, StalePolicy};
use cvlan_route::{Table, Tables};
use std::sync::Arc;
use std::time::SystemTime;

/// Frames of one declaration.
const MAX_UPDATES: usize = cvlan_map::MAX_FRAMES;

/// Peers of one step that watchers are told of each by itself: well below the events that they may be behind.
const TOLD_ONE_BY_ONE: usize = 256;

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
    let diff = keep(engine, core, prepared.as_ref(), &request.updates, now)?.unwrap_or_default();
    core.generation = request.generation;
    let step = Step { former, diff };
    tracing::info_span!("engine.install").in_scope(|| take_effect(engine, core, prepared, &step, now))?;
    tell(engine, core, &step);
    let map = core.identity.as_ref().map(|identity| identity.store.position(now));
    Ok(pb::ApplyResponse {
        generation: core.generation,
        map,
    })
}

/// From one map to the next.
#[derive(Default)]
pub struct Step {
    /// The map before; None when there was none.
    pub former: Option<Arc<Map>>,
    /// What is other than there.
    pub diff: MapDiff,
}

impl Step {
    /// True when `held` is what the step starts from, so that it can be changed instead of made anew.
    pub fn continues(&self, held: Option<&Arc<Map>>) -> bool {
        matches!((&self.former, held), (Some(former), Some(held)) if Arc::ptr_eq(former, held))
    }
}

fn take_effect(
    engine: &Engine,
    core: &mut Core,
    prepared: Option<Prepared>,
    step: &Step,
    now: SystemTime,
) -> Result<(), Failure> {
    match prepared {
        Some(prepared) => install(engine, core, prepared, step)?,
        None => put_in_force(core, step),
    }
    refresh_admission(core, now);
    engine.dns.follow(core, step, || engine.on_failure());
    Ok(())
}

/// Comes up from kept settings; they are remembered also when that fails.
pub fn bring_up(engine: &Engine, core: &mut Core, settings: Settings) -> Result<(), Failure> {
    core.settings = Some(settings.clone());
    // Names need no interface.
    engine.dns.follow(core, &Step::default(), || engine.on_failure());
    let prepared = prepare(engine, core, settings)?;
    install(engine, core, prepared, &Step::default())?;
    refresh_admission(core, SystemTime::now());
    Ok(())
}

/// Goes on with interface and socket of another process, by settings and a map that are in force already.
pub fn take_up(engine: &Engine, core: &mut Core, interface: Interface, udp: UdpPort) -> Result<(), Failure> {
    let Some(settings) = core.settings.clone() else {
        return Err(Failure::precondition(
            "NO_SETTINGS",
            "there are no settings",
            "declare them",
        ));
    };
    refresh_admission(core, SystemTime::now());
    let prepared = Prepared {
        settings: Settings {
            listen_port: udp.port(),
            ..settings
        },
        interface: Arc::new(interface),
        udp: Arc::new(udp),
        offers: None,
    };
    install(engine, core, prepared, &Step::default())?;
    engine.dns.follow(core, &Step::default(), || engine.on_failure());
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
    let bound = bind_udp(port).or_else(|error| if asked == 0 { bind_udp(0) } else { Err(error) });
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
    let first = prepared.filter(|_| identity.store.membership().is_none() && !step.is_empty());
    if let Some(prepared) = prepared {
        if first.is_none() {
            identity.store.set_membership(prepared.settings.membership.clone())?;
        }
        if former.as_ref() != Some(&prepared.settings) {
            prepared.settings.store(&engine.state)?;
        }
    }
    if step.is_empty() {
        return Ok(None);
    }
    let store = &mut identity.store;
    let verified = tracing::info_span!("engine.verify_map", frames = step.len()).in_scope(|| match first {
        Some(prepared) => store.begin(prepared.settings.membership.clone(), step, now),
        None => store.apply(step, now),
    });
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

fn install(engine: &Engine, core: &mut Core, prepared: Prepared, step: &Step) -> Result<(), Failure> {
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
    put_in_force(core, step);
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

/// Puts the kept map in force: who is no peer any more first, so that nothing more is sealed for them.
pub fn put_in_force(core: &mut Core, step: &Step) {
    let (Some(identity), Some(settings)) = (&mut core.identity, &core.settings) else {
        return;
    };
    let Some(map) = identity.store.map() else { return };
    let held = identity.shared.snapshot();
    let table_id = settings.table_id;
    let table = held.table().filter(|_| held.table_id == table_id);
    let continued = table.filter(|_| step.continues(held.map.as_ref()));
    let wg = &identity.shared.wg;
    let next = match (map.own.clone(), continued, &step.former) {
        (Some(_), _, _) if table.is_some() && held.map.as_ref().is_some_and(|held| Arc::ptr_eq(held, &map)) => return,
        (Some(_), Some(table), Some(former)) => {
            let (table, policy) = changed(table, &held.policy, &map, &step.diff);
            identity.tunnels.follow(wg, former, (&map, &table), &step.diff);
            (table, policy)
        }
        (Some(own), _, _) => {
            let table = Table::compile(Some(own.clone()), map.shared_nodes());
            let generation = held.policy.generation() + 1;
            let policy = Compiled::new(generation, Some(own), map.shared_nodes(), map.shared_rules());
            identity.tunnels.declare(wg, Some((&map, &table)));
            (table, policy)
        }
        (None, _, _) => {
            if held.map.as_ref().is_none_or(|held| held.own.is_some()) {
                tracing::warn!("the map does not have this node: nothing is forwarded");
            }
            identity.tunnels.declare(wg, None);
            identity.shared.install(Snapshot {
                map: Some(map),
                policy: Compiled::nothing(held.policy.generation() + 1),
                ..Snapshot::empty()
            });
            tell_interface(core);
            return;
        }
    };
    let (table, policy) = next;
    let mut tables = Tables::default();
    tables.insert(table_id, table);
    identity.shared.install(Snapshot {
        tables,
        table_id,
        policy,
        map: Some(map),
        law: Law::Map,
    });
    if continued.is_none() || signed_changed(&step.diff) {
        tell_interface(core);
    }
}

fn tell_interface(core: &Core) {
    if let Some(forwarder) = &core.forwarder {
        forwarder.interface().map_changed();
    }
}

/// What follows from a step, at a cost that grows with the step alone.
fn changed(table: &Table, policy: &Compiled, map: &Map, diff: &MapDiff) -> (Table, Compiled) {
    let mut table = table.clone();
    if !signed_changed(diff) {
        return (table, policy.clone());
    }
    let mut policy = policy.followed_by(policy.generation() + 1);
    for peer in &diff.removed {
        table.remove(*peer);
        policy.remove_peer(*peer);
    }
    if diff.own_changed {
        table.set_own(map.own.clone());
        policy.set_own(map.own.clone());
    }
    for handle in diff.added.iter().chain(&diff.changed) {
        if let Some(peer) = map.peers.get(handle) {
            table.put(*handle, peer.node.clone());
            policy.put_peer(*handle, peer.node.clone());
        }
    }
    let rules = &diff.rules_changed;
    let here = rules.iter().filter_map(|id| map.rules.get(id).cloned());
    policy.change_rules(rules.iter().copied(), here);
    (table, policy)
}

/// False when a step moves at most the head, endpoints and names.
fn signed_changed(diff: &MapDiff) -> bool {
    let peers = [&diff.added, &diff.changed, &diff.removed];
    diff.own_changed || !diff.rules_changed.is_empty() || peers.iter().any(|peers| !peers.is_empty())
}

fn tell(engine: &Engine, core: &Core, step: &Step) {
    let current = core.identity.as_ref().and_then(|identity| identity.store.map());
    let diff = &step.diff;
    let about = [
        ("peer_added", &diff.added, current.as_deref()),
        ("peer_changed", &diff.changed, current.as_deref()),
        ("peer_removed", &diff.removed, step.former.as_deref()),
    ];
    if about.iter().map(|(_, handles, _)| handles.len()).sum::<usize>() > TOLD_ONE_BY_ONE {
        let detail = about
            .map(|(name, handles, _)| format!("{name}: {}", handles.len()))
            .join(", ");
        engine.events.tell("peers_replaced", "", detail);
    } else {
        for (name, handles, map) in about {
            for handle in handles {
                let peer = map.and_then(|map| map.peers.get(handle));
                engine.events.tell(name, peer.map_or("", |peer| &peer.node.node_id), "");
            }
        }
    }
    if !diff.rules_changed.is_empty() {
        engine.events.tell("policy_changed", "", "");
    }
}
