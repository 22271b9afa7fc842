//! The unit of a batch: one packet, plain and sealed.

use crate::PeerId;
use crate::frame::DATA_OVERHEAD;
use std::net::SocketAddr;

/// Room of each half of a slot: the largest MTU (9000), padding, header and tag.
pub const SLOT_BYTES: usize = 9216;

/// Plain packets are padded to a multiple of this (whitepaper, section 5.4.6).
const PADDING: usize = 16;

/// Why a packet went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// No such peer (any more).
    UnknownPeer,
    /// Not sealed by the peer's session, or seen before.
    Auth,
    /// Longer than a slot, or not an IP packet once opened.
    Malformed,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not looked at yet.
    Pending,
    /// `sealed` is to be sent to `endpoint`.
    Sealed,
    /// Waits for a session; the control thread must be woken.
    Queued,
    /// `plain` is an IP packet of `peer`.
    Opened,
    /// Authentic and empty.
    Keepalive,
    /// Goes no further.
    Dropped(DropReason),
}

/// One packet with room for both forms; allocated once and reused.
pub struct Slot {
    pub(crate) plain: Box<[u8]>,
    pub(crate) plain_len: usize,
    pub(crate) sealed: Box<[u8]>,
    pub(crate) sealed_len: usize,
    /// Whom it is for or from. Set by the caller before sealing, by [`crate::Wg::open_batch`] after opening.
    pub peer: Option<PeerId>,
    /// Underlay address: where it came from, or where it is to go.
    pub endpoint: Option<SocketAddr>,
    /// What became of it.
    pub outcome: Outcome,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            plain: vec![0; SLOT_BYTES].into_boxed_slice(),
            plain_len: 0,
            sealed: vec![0; SLOT_BYTES].into_boxed_slice(),
            sealed_len: 0,
            peer: None,
            endpoint: None,
            outcome: Outcome::Pending,
        }
    }
}

impl Slot {
    /// Makes the slot ready for another packet.
    pub fn clear(&mut self) {
        self.plain_len = 0;
        self.sealed_len = 0;
        self.peer = None;
        self.endpoint = None;
        self.outcome = Outcome::Pending;
    }

    /// The whole room for a plain packet, to be filled and then measured by [`Slot::set_plain_len`].
    pub fn plain_room(&mut self) -> &mut [u8] {
        &mut self.plain
    }

    /// Says how much of the room is a packet; more than there is counts as all.
    pub fn set_plain_len(&mut self, len: usize) {
        self.plain_len = len.min(self.plain.len());
    }

    /// The plain IP packet.
    #[must_use]
    pub fn plain(&self) -> &[u8] {
        self.plain.get(..self.plain_len).unwrap_or_default()
    }

    /// The whole room for a datagram, to be filled and then measured by [`Slot::set_sealed_len`].
    pub fn sealed_room(&mut self) -> &mut [u8] {
        &mut self.sealed
    }

    /// Says how much of the room is a datagram; more than there is counts as all.
    pub fn set_sealed_len(&mut self, len: usize) {
        self.sealed_len = len.min(self.sealed.len());
    }

    /// The datagram.
    #[must_use]
    pub fn sealed(&self) -> &[u8] {
        self.sealed.get(..self.sealed_len).unwrap_or_default()
    }

    /// The plain packet with its padding, and the room to seal it into; `None` when it is too long.
    pub(crate) fn sealing(&mut self) -> Option<(&[u8], &mut [u8])> {
        let padded = self.plain_len.next_multiple_of(PADDING);
        if padded + DATA_OVERHEAD > self.sealed.len() {
            return None;
        }
        self.plain.get_mut(self.plain_len..padded)?.fill(0);
        Some((self.plain.get(..padded)?, &mut self.sealed))
    }

    /// The datagram, and the room to open it into.
    pub(crate) fn opening(&mut self) -> (&[u8], &mut [u8]) {
        (self.sealed.get(..self.sealed_len).unwrap_or_default(), &mut self.plain)
    }
}
