//! The tenant's root key: pinned once, and followed when it signed its successor.

use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use ed25519_dalek::VerifyingKey;

use crate::error::{MapError, Reason};
use crate::keyset::ROOT;
use crate::signed::{self, Domain};
use crate::store::Membership;
use crate::{MAX_RECORD, MAX_ROOTS};

/// The pinned root key and those that came after it.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    pinned: VerifyingKey,
    followed: Vec<Transition>,
}

/// A verified statement of a root key that another one takes its place.
#[derive(Clone, Debug)]
struct Transition {
    bytes: Vec<u8>,
    sequence: u64,
    former: VerifyingKey,
    next: VerifyingKey,
}

impl Roots {
    /// Nothing but the key of the membership.
    pub(crate) fn pinned(membership: &Membership) -> Result<Self, MapError> {
        Ok(Self {
            pinned: signed::public_key("membership.root_public_key", &membership.root_public_key)?,
            followed: Vec::new(),
        })
    }

    /// The key that signs keysets now.
    pub(crate) fn current(&self) -> &VerifyingKey {
        self.followed.last().map_or(&self.pinned, |last| &last.next)
    }

    /// True for the current key and every one that led to it.
    pub(crate) fn knows(&self, key: &[u8; 32]) -> bool {
        self.pinned.as_bytes() == key || self.followed.iter().any(|followed| followed.next.as_bytes() == key)
    }

    /// How often the key was replaced since it was pinned.
    pub(crate) fn len(&self) -> usize {
        self.followed.len()
    }

    /// The signed transitions since the pinned key, oldest first.
    pub(crate) fn bytes(&self) -> Vec<Vec<u8>> {
        self.followed.iter().map(|followed| followed.bytes.clone()).collect()
    }

    /// Goes on to the newest key of a chain; one that ends at the current key changes nothing.
    ///
    /// # Errors
    /// When the chain has a gap or a forged link, is of another tenant, or passes the current key by.
    pub(crate) fn follow<'a>(
        &self,
        chain: impl Iterator<Item = &'a Vec<u8>>,
        tenant_id: &str,
    ) -> Result<Self, MapError> {
        let mut roots = self.clone();
        let mut before: Option<Transition> = None;
        for (position, bytes) in chain.enumerate() {
            if position >= MAX_ROOTS {
                let detail = format!("more than {MAX_ROOTS} transitions");
                return Err(MapError::new(Reason::TooMany, Domain::Root.field(), detail));
            }
            let transition = Transition::open(bytes, tenant_id)?;
            if before.as_ref().is_some_and(|before| !transition.succeeds(before)) {
                return Err(gap("a transition does not follow the one before"));
            }
            before = Some(transition.clone());
            if transition.former == *roots.current() {
                roots.take(transition)?;
            }
        }
        match before {
            Some(last) if last.next != *roots.current() => Err(gap("they do not lead on from the key that is pinned")),
            Some(_) | None => Ok(roots),
        }
    }

    fn take(&mut self, transition: Transition) -> Result<(), MapError> {
        if self.followed.last().is_some_and(|former| !transition.succeeds(former)) {
            return Err(gap("a number is missing"));
        }
        if self.followed.len() >= MAX_ROOTS {
            let detail = format!("the root key was replaced more than {MAX_ROOTS} times");
            return Err(MapError::new(Reason::TooMany, Domain::Root.field(), detail));
        }
        self.followed.push(transition);
        Ok(())
    }
}

impl Transition {
    /// Verifies what a root key said of its successor.
    fn open(bytes: &[u8], tenant_id: &str) -> Result<Self, MapError> {
        let envelope = signed::unwrap(Domain::Root, bytes, MAX_RECORD)?;
        if envelope.key_id != ROOT {
            let detail = "only a root key names its successor";
            return Err(MapError::new(Reason::WrongRole, Domain::Root.field(), detail));
        }
        let record: entity::RootTransition = signed::decode(Domain::Root, &envelope.payload)?;
        let former = signed::public_key(Domain::Root.field(), &record.former_root_public_key)?;
        signed::verify(Domain::Root, &envelope, &former)?;
        if record.tenant_id != tenant_id {
            let detail = "is of another tenant";
            return Err(MapError::new(Reason::WrongTenant, Domain::Root.field(), detail));
        }
        Ok(Self {
            bytes: bytes.to_vec(),
            sequence: record.sequence,
            former,
            next: signed::public_key(Domain::Root.field(), &record.root_public_key)?,
        })
    }

    fn succeeds(&self, before: &Self) -> bool {
        self.former == before.next && Some(self.sequence) == before.sequence.checked_add(1)
    }
}

fn gap(detail: &str) -> MapError {
    MapError::new(Reason::RootGap, Domain::Root.field(), detail)
}
