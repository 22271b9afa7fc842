//! A managed interface as `wg show` sees it: peers, endpoints and traffic, and never a key that is secret.

use crate::engine::Engine;
use crate::forward::Shared;
use crate::uapi_socket::{Configured, UapiSocket, told};
use cvlan_uapi::{Device, Refused, SetDevice};
use cvlan_wire::{PeerHandle, Prefix};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

pub use crate::uapi_socket::FOLDER;

/// How often it is looked whether there is another interface.
const TICK: Duration = Duration::from_secs(1);

/// Wait before another try for a socket that could not be had.
const AGAIN: Duration = Duration::from_secs(5);

/// What there is to show: the sessions behind an interface.
#[derive(Clone)]
pub struct Shown {
    /// Name of the interface.
    pub name: String,
    /// UDP port.
    pub port: u16,
    /// The data path.
    pub shared: Arc<Shared>,
}

impl Shown {
    fn is(&self, other: &Self) -> bool {
        self.name == other.name && self.port == other.port && Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Addresses and routes by the peer through whose tunnel they are reached: its own and those of whom it carries.
    fn allowed_ips(&self) -> HashMap<PeerHandle, Vec<Prefix>> {
        let snapshot = self.shared.snapshot();
        let peers = || snapshot.map.iter().flat_map(|map| map.peers.iter());
        let handles: HashMap<&str, PeerHandle> = peers()
            .map(|(handle, peer)| (peer.node.node_id.as_str(), *handle))
            .collect();
        let mut reached: HashMap<PeerHandle, Vec<Prefix>> = HashMap::new();
        for (handle, peer) in peers() {
            let carrier = match &peer.node.via {
                None => Some(handle),
                Some(via) => handles.get(via.as_str()),
            };
            let Some(carrier) = carrier else { continue };
            let addresses = peer.node.addresses.iter().copied().map(Prefix::host);
            let prefixes = addresses.chain(peer.node.routes.iter().copied());
            reached.entry(*carrier).or_default().extend(prefixes);
        }
        reached
    }
}

impl Configured for Shown {
    fn get(&self) -> Device {
        let peers = self.shared.wg.peers(Instant::now());
        let mut reached = self.allowed_ips();
        let peers = peers.iter().map(|(id, public_key, stats)| cvlan_uapi::Peer {
            allowed_ips: reached.remove(&PeerHandle(id.0)).unwrap_or_default(),
            ..told(*public_key, Some(stats))
        });
        Device {
            listen_port: Some(self.port),
            peers: peers.collect(),
            ..Device::default()
        }
    }

    fn set(&self, _: SetDevice) -> Result<(), Refused> {
        Err(Refused::ReadOnly)
    }
}

/// A socket that is served.
struct Serving {
    shown: Shown,
    task: JoinHandle<()>,
}

/// A socket that could not be had.
struct Tried {
    shown: Shown,
    at: Instant,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Shows whatever interface the engine has, as long as it has it. Where the socket cannot be had, as without root, nothing
/// else suffers, and it is tried again now and then: whoever has it may go.
pub async fn follow(engine: Arc<Engine>, folder: PathBuf) {
    let mut ticks = tokio::time::interval(TICK);
    let mut serving: Option<Serving> = None;
    let mut refused: Option<Tried> = None;
    loop {
        ticks.tick().await;
        let shown = engine.shown();
        let same = |former: &Shown| shown.as_ref().is_some_and(|shown| shown.is(former));
        if serving.as_ref().is_some_and(|serving| same(&serving.shown)) {
            continue;
        }
        serving = None;
        refused = refused.filter(|tried| same(&tried.shown));
        let Some(shown) = shown else { continue };
        if refused.as_ref().is_some_and(|tried| tried.at.elapsed() < AGAIN) {
            continue;
        }
        match UapiSocket::bind(&folder, &shown.name) {
            Ok(socket) => {
                refused = None;
                serving = Some(Serving {
                    task: tokio::spawn(socket.serve(Arc::new(shown.clone()))),
                    shown,
                });
            }
            Err(error) => {
                if refused.is_none() {
                    tracing::info!(%error, "`wg show` does not find this interface");
                }
                refused = Some(Tried {
                    shown,
                    at: Instant::now(),
                });
            }
        }
    }
}
