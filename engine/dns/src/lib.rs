//! Overlay DNS without sockets, clock or threads: queries, answers of upstreams and time in, answers and questions out.
//!
//! A stub resolver for one host (RFC 1034, section 5.3.1): names of the overlay are answered from the [`Zone`], others are
//! asked of the servers that the map or the host names for them, and never by recursion of our own.

mod cache;
mod counters;
mod limit;
mod message;
mod name;
mod pending;
mod query;
mod resolver;
mod response;
mod upstreams;
mod zone;

pub use counters::Counters;
pub use name::Name;
pub use query::{Query, Refused, Transport};
pub use resolver::{AskId, Client, Output, Random, Resolver};
pub use response::Response;
pub use zone::{Lookup, Owner, Record, Zone};

/// Longest message over UDP that is read, bytes.
pub const MAX_UDP: usize = 4096;
/// Most bytes of a UDP answer when the question allows more (RFC 6891, section 6.2.5).
pub const MAX_UDP_ANSWER: usize = 4096;
/// What upstreams may send over UDP: fits the smallest IPv6 MTU (RFC 9715, section 3.1).
pub const UPSTREAM_UDP_SIZE: u16 = 1232;
/// Questions that wait for an upstream; the oldest gives way.
pub const MAX_PENDING: usize = 256;
/// Askers that wait for one question.
pub const MAX_WAITERS: usize = 16;
/// Queries of one second.
pub const MAX_RATE: u32 = 10_000;
/// Answers that are remembered.
pub const MAX_CACHED: usize = 512;
/// Bytes of these together.
pub const MAX_CACHED_BYTES: usize = 256 * 1024;
/// How long names of the overlay may be remembered, seconds.
pub const ZONE_TTL: u32 = 30;
/// How long it may be remembered that a name of the overlay is not there, seconds.
pub const NEGATIVE_TTL: u32 = 5;
/// The longest that an upstream's answer is remembered, seconds.
pub const MAX_TTL: u32 = 600;
