//! Which keys may sign what.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use ed25519_dalek::VerifyingKey;

use crate::error::{MapError, Reason};
use crate::signed::{self, Domain};
use crate::{MAX_KEYS, MAX_KEYSET};

/// `key_id` of the tenant's root key.
pub(crate) const ROOT: &str = "root";

/// How far `not_before` may lie ahead: clocks of controller hosts differ.
const SKEW: Duration = Duration::from_secs(300);

/// A verified keyset.
#[derive(Clone, Debug)]
pub(crate) struct Keyset {
    pub bytes: Vec<u8>,
    payload: Vec<u8>,
    pub version: u64,
    keys: BTreeMap<String, Key>,
}

/// A delegated key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub id: Arc<str>,
    role: entity::KeyRole,
    public: VerifyingKey,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Keyset {
    /// Verifies a serialised keyset against the root key.
    pub(crate) fn open(bytes: &[u8], root: &VerifyingKey, tenant_id: &str) -> Result<Self, MapError> {
        let envelope = signed::unwrap(Domain::Keyset, bytes, MAX_KEYSET)?;
        if envelope.key_id != ROOT {
            return Err(MapError::new(
                Reason::WrongRole,
                "keyset",
                "only the root key signs a keyset",
            ));
        }
        signed::verify(Domain::Keyset, &envelope, root)?;
        let record: entity::Keyset = signed::decode(Domain::Keyset, &envelope.payload)?;
        if record.tenant_id != tenant_id {
            return Err(MapError::new(Reason::WrongTenant, "keyset", "is of another tenant"));
        }
        if record.keys.len() > MAX_KEYS {
            return Err(MapError::new(
                Reason::TooMany,
                "keyset",
                format!("more than {MAX_KEYS} keys"),
            ));
        }
        let mut keys = BTreeMap::new();
        for delegated in &record.keys {
            // A role of a later version signs nothing that this engine reads.
            if delegated.role() == entity::KeyRole::Unspecified {
                continue;
            }
            let key = Key {
                id: delegated.key_id.as_str().into(),
                role: delegated.role(),
                public: signed::public_key("keyset", &delegated.public_key)?,
                not_before: signed::time("keyset", delegated.not_before.as_ref())?,
                not_after: signed::time("keyset", delegated.not_after.as_ref())?,
            };
            if delegated.key_id == ROOT || keys.insert(delegated.key_id.clone(), key).is_some() {
                return Err(MapError::malformed(
                    "keyset",
                    format!("key id {:?} is taken", delegated.key_id),
                ));
            }
        }
        Ok(Self {
            bytes: bytes.to_vec(),
            payload: envelope.payload,
            version: record.version,
            keys,
        })
    }

    /// Refuses a keyset that is older than `former`, or another one of the same version.
    pub(crate) fn check_succeeds(&self, former: &Keyset) -> Result<(), MapError> {
        if self.version < former.version {
            let detail = format!("version {} after {}", self.version, former.version);
            return Err(MapError::new(Reason::OldKeyset, "keyset", detail));
        }
        if self.version == former.version && self.payload != former.payload {
            let detail = format!("two different keysets of version {}", self.version);
            return Err(MapError::new(Reason::OldKeyset, "keyset", detail));
        }
        Ok(())
    }

    /// True when the key means the same in both.
    pub(crate) fn agrees(&self, former: &Keyset, key_id: &str) -> bool {
        let same = |a: &Key, b: &Key| a.role == b.role && a.public == b.public;
        match (self.keys.get(key_id), former.keys.get(key_id)) {
            (Some(a), Some(b)) => same(a, b),
            _ => false,
        }
    }

    /// Checks that the key of `envelope` exists, has the role of the domain and made the signature.
    /// Says when the key is valid; the caller knows which time counts.
    pub(crate) fn verify(&self, domain: Domain, envelope: &entity::Signed) -> Result<&Key, MapError> {
        let key = self.key(domain, &envelope.key_id)?;
        signed::verify(domain, envelope, &key.public)?;
        Ok(key)
    }

    /// The key of an id, which must be one that may sign in this domain.
    pub(crate) fn key(&self, domain: Domain, id: &str) -> Result<&Key, MapError> {
        let role = match domain {
            Domain::Keyset | Domain::Root => entity::KeyRole::Unspecified,
            Domain::Node | Domain::Dns | Domain::RelayMap => entity::KeyRole::Enrol,
            Domain::Rule => entity::KeyRole::Policy,
            Domain::Head => entity::KeyRole::Map,
        };
        let key = self.keys.get(id).ok_or_else(|| {
            let detail = format!("the keyset has no key {id:?}");
            MapError::new(Reason::UnknownKey, domain.field(), detail)
        })?;
        if key.role != role {
            let detail = format!("key {id:?} may not sign this");
            return Err(MapError::new(Reason::WrongRole, domain.field(), detail));
        }
        Ok(key)
    }
}

impl Key {
    /// Refuses a key outside its validity.
    pub(crate) fn check_valid(&self, domain: Domain, at: SystemTime) -> Result<(), MapError> {
        let begun = self.not_before <= at + SKEW;
        if begun && at < self.not_after {
            return Ok(());
        }
        let detail = if begun {
            "the key that signed has expired"
        } else {
            "the key that signed is not valid yet"
        };
        Err(MapError::new(Reason::KeyNotValid, domain.field(), detail))
    }
}
