//! The engine of one membership of one machine: keys, verified map, and the packets.
//!
//! [`Engine`] is what the control socket drives; [`server`] is the socket. Packets flow on the threads of [`forward`].

mod apply;
mod build;
mod counters;
mod dns;
mod echo;
mod engine;
mod events;
mod explain;
mod failure;
pub mod forward;
pub mod handover;
mod identity;
mod interface;
mod keys;
pub mod log;
pub mod metrics;
mod rpc;
pub mod server;
mod settings;
pub mod shown;
mod spans;
pub mod standalone;
mod state_dir;
mod status;
mod tunnels;
mod uapi_socket;
mod userspace;
mod workers;

pub use build::build;
pub use counters::{Counters, Drop, Dropped};
pub use echo::Echo;
pub use engine::{CAPABILITY_VERSION, Engine, TunSource};
pub use events::Events;
pub use explain::evaluate;
pub use failure::Failure;
pub use interface::{Interface, make_tun};
pub use spans::{Parent, SpanLayer, Spans};
pub use state_dir::{StateDir, StateError};
