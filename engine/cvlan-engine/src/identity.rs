//! Who the node is: its keys, and the map it believes.

use crate::echo::Echo;
use crate::events::Events;
use crate::failure::Failure;
use crate::forward::Shared;
use crate::keys::Keys;
use crate::state_dir::StateDir;
use crate::tunnels::Tunnels;
use crate::workers::Threads;
use cvlan_map::{FileStorage, MapStore};
use cvlan_wg::{Epoch, Wg};
use rand_core::{OsRng, RngCore};
use std::io;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Exists from the first start with keys on; before that there is nothing to keep.
pub struct Identity {
    /// The private keys.
    pub keys: Keys,
    /// The verified map.
    pub store: MapStore,
    /// What the data path sees.
    pub shared: Arc<Shared>,
    /// Whom WireGuard speaks with.
    pub tunnels: Tunnels,
}

impl Identity {
    /// Makes an identity of kept or fresh keys and reads the kept map.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn open(state: &StateDir, keys: Keys, events: Events) -> Result<Self, Failure> {
        let unreadable = |error: io::Error| {
            Failure::host(
                "STORAGE",
                format!("state directory: {error}"),
                "check the permissions of the state directory",
            )
        };
        let storage = FileStorage::open(state.path()).map_err(unreadable)?;
        let store = MapStore::open_with(Box::new(storage), keys.wireguard_public(), Box::new(Threads))?;
        if let Some(problem) = store.load_problem() {
            tracing::error!(error = %problem, "the kept map is damaged");
            events.tell("map_damaged", "", problem.to_string());
        }
        let [high, low, ..] = OsRng.next_u32().to_be_bytes();
        let echo = Echo::new(u16::from_be_bytes([high, low]));
        let epoch = Epoch {
            instant: Instant::now(),
            wall: SystemTime::now(),
        };
        let wg = Wg::new(&keys.wireguard_static(), epoch);
        let shared = Arc::new(Shared::new(wg, echo, events));
        Ok(Self {
            keys,
            store,
            shared,
            tunnels: Tunnels::default(),
        })
    }
}
