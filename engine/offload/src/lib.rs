//! Super-packets, sans-IO: many packets of one flow with one header, as the kernel hands them over a TUN interface
//! with a virtio header (`IFF_VNET_HDR`).
//!
//! [`Split`] makes packets of what the kernel gives, written straight into room that the caller has; [`train`] finds packets that
//! the kernel takes as one, and copies no payload. Nothing here allocates, and any bytes are survived.

mod checksum;
mod coalesce;
mod ecn;
mod fragment;
mod layout;
mod segment_size;
mod split;
mod too_big;
mod vnet;

pub use checksum::Sum;
pub use coalesce::{MAX_TRAIN, Train, train};
pub use ecn::Ecn;
pub use fragment::Fragments;
pub use segment_size::clamp_segment_size;
pub use split::{Refused, Split};
pub use too_big::{Fit, fit};
pub use vnet::{Gso, Offload, VNET_BYTES, Vnet};

/// Bytes of the largest packet (the length field of IPv4, RFC 791 section 3.1).
pub const MAX_PACKET: usize = 65_535;
