//! Signed bytes: Ed25519 (RFC 8032, strict verification) over a domain and a payload.

use std::time::{Duration, SystemTime};

use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use ed25519_dalek::{Signature, VerifyingKey};
use prost::Message;
use prost_types::Timestamp;

use crate::error::{MapError, Reason};

/// What a signature is about; a signature of one domain never counts in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    Keyset,
    Root,
    Node,
    Dns,
    RelayMap,
    Rule,
    Head,
}

impl Domain {
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Keyset => b"cloudvlan/keyset/v1\0",
            Self::Root => b"cloudvlan/root/v1\0",
            Self::Node => b"cloudvlan/node/v1\0",
            Self::Dns => b"cloudvlan/dns/v1\0",
            Self::RelayMap => b"cloudvlan/relay-map/v1\0",
            Self::Rule => b"cloudvlan/rule/v1\0",
            Self::Head => b"cloudvlan/head/v1\0",
        }
    }

    /// Field of a frame that carries records of this domain.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Keyset => "keyset",
            Self::Root => "root_transitions",
            Self::Node => "nodes",
            Self::Dns => "dns",
            Self::RelayMap => "relay_map",
            Self::Rule => "rules",
            Self::Head => "head",
        }
    }
}

/// Splits a serialised `Signed`; nothing in it is believed yet.
pub(crate) fn unwrap(domain: Domain, bytes: &[u8], limit: usize) -> Result<entity::Signed, MapError> {
    if bytes.len() > limit {
        let detail = format!("a record of {} bytes; at most {limit} are allowed", bytes.len());
        return Err(MapError::new(Reason::TooMany, domain.field(), detail));
    }
    decode(domain, bytes)
}

/// Reads a message.
pub(crate) fn decode<M: Message + Default>(domain: Domain, bytes: &[u8]) -> Result<M, MapError> {
    M::decode(bytes).map_err(|error| MapError::malformed(domain.field(), error.to_string()))
}

/// Checks the signature of `key` over the payload.
pub(crate) fn verify(domain: Domain, signed: &entity::Signed, key: &VerifyingKey) -> Result<(), MapError> {
    let bad = |detail: &str| MapError::new(Reason::BadSignature, domain.field(), detail);
    let signature = Signature::from_slice(&signed.signature).map_err(|_| bad("a signature has 64 bytes"))?;
    let message = [domain.prefix(), &signed.payload].concat();
    key.verify_strict(&message, &signature)
        .map_err(|_| bad("the signature does not hold"))
}

/// An Ed25519 public key; refuses what is no point and points of small order.
pub(crate) fn public_key(field: &'static str, bytes: &[u8]) -> Result<VerifyingKey, MapError> {
    let bytes = <&[u8; 32]>::try_from(bytes).map_err(|_| MapError::malformed(field, "an Ed25519 key has 32 bytes"))?;
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| MapError::malformed(field, "is no Ed25519 key"))?;
    if key.is_weak() {
        return Err(MapError::malformed(field, "is an Ed25519 key of small order"));
    }
    Ok(key)
}

/// A moment between 1970 and 9999.
pub(crate) fn time(field: &'static str, timestamp: Option<&Timestamp>) -> Result<SystemTime, MapError> {
    const LAST_SECOND: i64 = 253_402_300_799;
    let timestamp = timestamp.ok_or_else(|| MapError::malformed(field, "is not set"))?;
    let in_range = (0..=LAST_SECOND).contains(&timestamp.seconds) && (0..1_000_000_000).contains(&timestamp.nanos);
    let (seconds, nanos) = (u64::try_from(timestamp.seconds), u32::try_from(timestamp.nanos));
    match (in_range, seconds, nanos) {
        (true, Ok(seconds), Ok(nanos)) => Ok(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)),
        _ => Err(MapError::malformed(field, "is not a moment between 1970 and 9999")),
    }
}
