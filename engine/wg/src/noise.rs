//! The handshake, without state of its own between messages: whitepaper, section 5.4.

pub mod aead;
pub mod agreement;
pub mod handshake;
pub mod hash;
pub mod message;
pub mod timestamp;
