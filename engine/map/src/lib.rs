//! The network map of one node: every record verified, kept on disk, compared with what was before.
//!
//! A step of the map stream counts whole or not at all. The core ([`MapStore`]) takes time and storage from outside.

mod codec;
mod error;
mod handles;
mod head;
mod hints;
mod journal;
mod keyset;
mod names;
mod roots;
mod signed;
mod state;
mod step;
mod storage;
mod store;
mod tombstones;
mod view;
mod workers;

pub use error::{MapError, Reason};
pub use head::{Head, StalePolicy};
pub use hints::usable as usable_endpoints;
pub use storage::{FileStorage, Slot, Storage};
pub use store::{Freshness, MapStore, Membership};
pub use view::{Map, MapDiff, Peer, Peers};
pub use workers::{InTurn, Workers};

/// Peers of one node.
pub const MAX_PEERS: usize = 20_000;
/// Rules of one node.
pub const MAX_RULES: usize = 20_000;
/// Bytes of one signed record.
pub const MAX_RECORD: usize = 4096;
/// Bytes of the signed DNS record: 64 routes with the longest names.
pub const MAX_DNS: usize = 64 * 1024;
/// Bytes of the signed relay map: 64 servers of 4 endpoints, and room for what later versions say of each.
pub const MAX_RELAY_MAP: usize = 32 * 1024;
/// Bytes of a signed keyset.
pub const MAX_KEYSET: usize = 64 * 1024;
/// Keys of a keyset.
pub const MAX_KEYS: usize = 256;
/// Times that the root key of a tenant is replaced.
pub const MAX_ROOTS: usize = 64;
/// Frames of one step.
pub const MAX_FRAMES: usize = 4096;
/// Endpoints believed possible for one peer.
pub const MAX_ENDPOINTS: usize = 16;
/// Removed ids whose newest revision is remembered, of nodes and of rules each.
pub const MAX_TOMBSTONES: usize = 4096;
