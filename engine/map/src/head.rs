//! The signed head: where the map of the cvlan stands.

use std::time::{Duration, SystemTime};

use cloudvlan_gen::cloudvlan::entity::v1 as entity;

use crate::MAX_RECORD;
use crate::error::{MapError, Reason};
use crate::keyset::Keyset;
use crate::signed::{self, Domain};
use crate::store::Membership;

/// How far ahead of this machine's clock a head may be issued, and how far behind the newest one a head of the same
/// or a later revision may be: two controller hosts' clocks differ.
const SKEW: Duration = Duration::from_secs(300);

/// A verified head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Raised when the controller was restored from a backup.
    pub epoch: u64,
    /// Grows with each change of the cvlan.
    pub revision: u64,
    /// When it was signed.
    pub issued_at: SystemTime,
    /// Past this the map is stale.
    pub expires_at: SystemTime,
    /// Version of the keyset the signer knew.
    pub keyset_version: u64,
    /// What to do when stale.
    pub stale_policy: StalePolicy,
    pub(crate) bytes: Vec<u8>,
}

/// What a node does with a map past its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StalePolicy {
    /// Forward by the last map.
    Keep,
    /// Keep established flows, start none. Also what an unknown value means.
    NoNewFlows,
    /// Forward nothing.
    Stop,
}

/// When a head is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Occasion {
    /// It came by the stream; the time is the later of the clock and the newest head seen.
    Arrival(SystemTime),
    /// It was accepted before and is read from disk.
    Load,
}

impl Head {
    /// Verifies signature, role, validity, membership and the head's own fields.
    pub(crate) fn open(
        bytes: &[u8],
        keyset: &Keyset,
        membership: &Membership,
        occasion: Occasion,
    ) -> Result<Self, MapError> {
        let envelope = signed::unwrap(Domain::Head, bytes, MAX_RECORD)?;
        let key = keyset.verify(Domain::Head, &envelope)?;
        let record: entity::MapHead = signed::decode(Domain::Head, &envelope.payload)?;
        membership.check_scope(Domain::Head, &record.tenant_id, &record.cvlan_id)?;
        let head = Self {
            epoch: record.epoch,
            revision: record.revision,
            issued_at: signed::time("head.issued_at", record.issued_at.as_ref())?,
            expires_at: signed::time("head.expires_at", record.expires_at.as_ref())?,
            keyset_version: record.keyset_version,
            stale_policy: match record.stale_policy() {
                entity::StalePolicy::Keep => StalePolicy::Keep,
                entity::StalePolicy::Stop => StalePolicy::Stop,
                entity::StalePolicy::NoNewFlows | entity::StalePolicy::Unspecified => StalePolicy::NoNewFlows,
            },
            bytes: bytes.to_vec(),
        };
        if head.expires_at <= head.issued_at {
            return Err(MapError::malformed("head.expires_at", "is not after issued_at"));
        }
        match occasion {
            Occasion::Load => key.check_valid(Domain::Head, head.issued_at)?,
            Occasion::Arrival(now) => {
                if head.issued_at > now + SKEW {
                    return Err(MapError::new(
                        Reason::HeadInFuture,
                        "head.issued_at",
                        "is more than 5 minutes from now",
                    ));
                }
                key.check_valid(Domain::Head, now.max(head.issued_at))?;
            }
        }
        if head.keyset_version > keyset.version {
            let detail = format!(
                "the head asks for keyset {}, known is {}",
                head.keyset_version, keyset.version
            );
            return Err(MapError::new(Reason::OldKeyset, "head.keyset_version", detail));
        }
        Ok(head)
    }

    /// Refuses a head that is older than `newest`.
    pub(crate) fn check_succeeds(&self, newest: &Head) -> Result<(), MapError> {
        if self.epoch < newest.epoch {
            let detail = format!("epoch {} after {}", self.epoch, newest.epoch);
            return Err(MapError::new(Reason::OldEpoch, "head.epoch", detail));
        }
        if self.epoch > newest.epoch {
            return Ok(());
        }
        if self.revision < newest.revision {
            let detail = format!("revision {} after {}", self.revision, newest.revision);
            return Err(MapError::new(Reason::OldRevision, "head.revision", detail));
        }
        if self.issued_at + SKEW < newest.issued_at {
            return Err(MapError::new(
                Reason::OldRevision,
                "head.issued_at",
                "is older than a head seen before",
            ));
        }
        Ok(())
    }

    /// The one that counts of two heads, `self` having been accepted after `former`.
    pub(crate) fn or_newer(self, former: Option<&Head>) -> Head {
        match former {
            Some(former)
                if (former.epoch, former.revision) == (self.epoch, self.revision)
                    && former.issued_at > self.issued_at =>
            {
                former.clone()
            }
            _ => self,
        }
    }
}
