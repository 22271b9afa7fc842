//! The cross-platform userspace configuration protocol of WireGuard (wireguard.com/xplatform), sans-IO.
//!
//! Lines go into a [`Parser`] and whole requests come out; a [`Device`] is written as the answer to one that reads. A
//! request is understood in full before anything of it is done: a line that is wrong makes it a [`Refused`] request.

mod device;
mod key;
mod parse;
mod refused;
mod set;

pub use device::{Device, Peer};
pub use key::{PublicKey, SecretKey};
pub use parse::{MAX_LINE, MAX_REQUEST, Parser, Request};
pub use refused::Refused;
pub use set::{AllowedIp, SetDevice, SetPeer};
