//! An interface whose peers are set through its socket, and what is in force of it.

use super::peers::{Former, Peer, Peers};
use crate::echo::Echo;
use crate::events::Events;
use crate::forward::{Forwarder, Shared, Snapshot};
use crate::interface::{Interface, bind_udp};
use crate::uapi_socket::{self, Configured};
use cvlan_io::UdpPort;
use cvlan_uapi::{Device as Told, Peer as ToldPeer, PublicKey, Refused, SecretKey, SetDevice};
use cvlan_wg::{Epoch, PeerId, PeerStats, StaticKey, Wg};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};
use tokio::sync::mpsc::UnboundedSender;

/// The MTU of a new interface: what is left of 1500 bytes with an outer header of IPv6, as with every WireGuard.
pub const MTU: u16 = 1420;

/// One interface.
pub struct Device {
    interface: Arc<Interface>,
    ended: UnboundedSender<String>,
    core: Mutex<Core>,
}

struct Core {
    private_key: Option<SecretKey>,
    fwmark: u32,
    mtu: u16,
    /// As it was asked for; 0 is the system's choice.
    listen_port: u16,
    udp: Arc<UdpPort>,
    peers: Peers,
    /// While there is a private key.
    running: Option<Running>,
    /// Counts of the sessions under former keys.
    counted: BTreeMap<String, u64>,
}

struct Running {
    shared: Arc<Shared>,
    forwarder: Forwarder,
}

impl Device {
    /// An interface without key and peers. `ended` is told when its packets can no longer flow.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn new(interface: Interface, ended: UnboundedSender<String>) -> io::Result<Self> {
        Ok(Self {
            interface: Arc::new(interface),
            ended,
            core: Mutex::new(Core {
                private_key: None,
                fwmark: 0,
                mtu: MTU,
                listen_port: 0,
                udp: Arc::new(bind_udp(0)?),
                peers: Peers::default(),
                running: None,
                counted: BTreeMap::new(),
            }),
        })
    }

    /// Takes over the MTU of the interface, bytes.
    pub fn limit_packets(&self, mtu: u32) {
        let mut core = self.core();
        core.mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
        if let Some(running) = &core.running {
            running.shared.limit_packets(core.mtu);
        }
    }

    /// Ends the flow of packets; says what was counted, as `name=count` with spaces between.
    pub fn stop(&self) -> String {
        let mut core = self.core();
        if let Some(running) = core.running.take() {
            running.forwarder.stop();
            core.count(&running.shared);
        }
        let counted = core.counted.iter().filter(|(_, count)| **count > 0);
        let told: Vec<_> = counted.map(|(name, count)| format!("{name}={count}")).collect();
        told.join(" ")
    }

    /// Each change replaces one part whole, so what a panic left is still something that was wanted.
    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Key and socket as they are wanted; true when the sessions are new ones without peers.
    fn prepare(&self, core: &mut Core, wanted: &SetDevice) -> Result<bool, Refused> {
        let listen_port = wanted.listen_port.unwrap_or(core.listen_port);
        let fwmark = wanted.fwmark.unwrap_or(core.fwmark);
        let udp = socket(core, listen_port, fwmark)?;
        let new_socket = !Arc::ptr_eq(&udp, &core.udp);
        let private_key = match &wanted.private_key {
            Some(key) => Some(key.clone()).filter(|key| !key.is_none()),
            None => core.private_key.clone(),
        };
        let new_key = private_key != core.private_key;
        (core.udp, core.listen_port, core.fwmark, core.private_key) = (udp, listen_port, fwmark, private_key);
        self.run(core, new_key, new_socket)
    }

    /// Brings sessions and threads in line with key and socket; true when the sessions are new ones without peers.
    fn run(&self, core: &mut Core, new_key: bool, new_socket: bool) -> Result<bool, Refused> {
        let former = if new_key || new_socket {
            core.running.take()
        } else {
            None
        };
        let kept = former.map(|running| {
            running.forwarder.stop();
            running.shared
        });
        if let Some(shared) = kept.as_ref().filter(|_| new_key) {
            core.count(shared);
        }
        let Some(key) = core.private_key.as_ref().filter(|_| core.running.is_none()) else {
            return Ok(false);
        };
        let (shared, fresh) = match kept.filter(|_| !new_key) {
            Some(shared) => (shared, false),
            None => (Arc::new(sessions(key)), true),
        };
        shared.limit_packets(core.mtu);
        let ended = self.ended.clone();
        // Nobody listens when the process is ending already.
        let on_failure = Box::new(move |why| drop(ended.send(why)));
        let forwarder = Forwarder::start(shared.clone(), self.interface.clone(), core.udp.clone(), on_failure);
        let forwarder = forwarder.map_err(|error| {
            tracing::error!(%error, "forwarding does not start: raise the limits of the process");
            Refused::System
        })?;
        core.running = Some(Running { shared, forwarder });
        Ok(fresh)
    }
}

impl Core {
    fn count(&mut self, shared: &Shared) {
        for (name, count) in shared.counters.named(&shared.wg) {
            *self.counted.entry(name).or_default() += count;
        }
    }
}

fn sessions(key: &SecretKey) -> Shared {
    let epoch = Epoch {
        instant: Instant::now(),
        wall: SystemTime::now(),
    };
    let wg = Wg::new(&StaticKey::new(key.bytes().clone()), epoch);
    // There is nobody to ping or to tell: this interface has no control socket.
    Shared::new(wg, Echo::new(0), Events::default())
}

/// The socket of a port with a mark.
fn socket(core: &Core, listen_port: u16, fwmark: u32) -> Result<Arc<UdpPort>, Refused> {
    let system = |error: io::Error| {
        tracing::error!(%error, "the UDP socket is refused");
        Refused::System
    };
    let fits = listen_port == core.listen_port || listen_port == core.udp.port();
    let udp = if fits {
        core.udp.clone()
    } else {
        let bound = bind_udp(listen_port).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => Refused::PortInUse,
            _ => system(error),
        })?;
        Arc::new(bound)
    };
    if fwmark != core.fwmark || !fits && fwmark != 0 {
        udp.set_mark(fwmark).map_err(system)?;
    }
    Ok(udp)
}

impl Configured for Device {
    fn set(&self, wanted: SetDevice) -> Result<(), Refused> {
        let mut core = self.core();
        let former = core.peers.change(&wanted)?;
        match self.prepare(&mut core, &wanted) {
            Ok(fresh) => {
                let Core { peers, running, .. } = &mut *core;
                if let Some(running) = running {
                    put_in_force(&running.shared, &wanted, &former, peers, fresh);
                }
                Ok(())
            }
            Err(refused) => {
                core.peers.restore(former);
                Err(refused)
            }
        }
    }

    fn get(&self) -> Told {
        let core = self.core();
        let shared = core.running.as_ref().map(|running| &running.shared);
        let stats: HashMap<PeerId, PeerStats> = shared.map_or_else(HashMap::new, |shared| {
            let peers = shared.wg.peers(Instant::now());
            peers.into_iter().map(|(id, _, stats)| (id, stats)).collect()
        });
        let tell = |peer: &Peer| {
            let told = uapi_socket::told(peer.public_key, stats.get(&peer.id));
            ToldPeer {
                preshared_key: peer.preshared_key.clone(),
                endpoint: told.endpoint.or(peer.endpoint),
                allowed_ips: peer.allowed_ips.iter().copied().collect(),
                persistent_keepalive: peer.persistent_keepalive.unwrap_or(0),
                ..told
            }
        };
        Told {
            private_key: core.private_key.clone(),
            listen_port: Some(core.udp.port()),
            fwmark: core.fwmark,
            peers: core.peers.iter().map(tell).collect(),
        }
    }
}

/// Peers before addresses, so that no packet is given to one that is not there. Who is refused is taken out of `peers`.
fn put_in_force(shared: &Shared, wanted: &SetDevice, former: &Former, peers: &mut Peers, fresh: bool) {
    let refused: Vec<_> = if fresh || wanted.replace_peers {
        let configs = peers.iter().map(Peer::config).collect();
        let refused = shared.wg.set_peers(Instant::now(), configs).into_iter();
        refused
            .filter_map(|(id, reason)| Some((peers.key_of(id)?, reason)))
            .collect()
    } else {
        let changes = wanted.peers.iter();
        changes
            .filter_map(|change| put(shared, change.public_key, former, peers))
            .collect()
    };
    for (key, reason) in refused {
        tracing::warn!(%reason, "peer refused");
        peers.remove(&key);
    }
    shared.install(Snapshot::allowed_ips(peers.table().clone()));
}

/// Puts in force what became of one peer.
fn put(shared: &Shared, key: PublicKey, former: &Former, peers: &Peers) -> Option<(PublicKey, cvlan_wg::Refused)> {
    if let Some(peer) = peers.get(&key) {
        let refused = shared.wg.put_peer(Instant::now(), peer.config()).err();
        return refused.map(|why| (key, why));
    }
    // One that came and went within the request was never there.
    former.id(&key).map(|gone| shared.wg.remove_peer(gone));
    None
}
