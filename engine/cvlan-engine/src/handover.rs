//! From one engine process to the next on the same folder, without a handshake and without a packet lost (ADR 0016).
//!
//! [`give`] is the side that runs, [`take`] the one that begins, [`notes`] what they say to each other and [`records`] what is
//! in the sealed memory. Exactly one of them ever seals: the giving side has stopped its threads before it tells a counter, and
//! goes on only when it knows that the other never heard that it may.

pub mod give;
mod notes;
mod records;
pub mod take;

use std::io;
use std::path::{Path, PathBuf};

/// Forms of the state that this version writes and reads.
const FORMATS: [u32; 1] = [1];
/// Most bytes of a state: 20,000 peers with three sessions each, all flows, all that waits.
const MAX_STATE: u64 = 128 << 20;

/// Where a running engine waits for its successor.
#[must_use]
pub fn socket_path(state: &Path) -> PathBuf {
    state.join("handover.sock")
}

/// Why nothing was handed over; whoever ran goes on running.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The connection broke, or the other side was silent for too long.
    #[error("the other engine is gone or silent: {0}")]
    Io(#[from] io::Error),
    /// The other side said something else than the protocol has it.
    #[error("the other engine does not keep to the protocol: {0}")]
    Protocol(&'static str),
    /// The state is not as it should be.
    #[error("the state that was handed over is not used: {0}")]
    State(String),
    /// The other side is somebody else's.
    #[error("the engine that answers belongs to uid {0}")]
    Owner(u32),
}
