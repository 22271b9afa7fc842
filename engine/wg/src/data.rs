//! The fast half: data packets, in batches. Any thread calls it.

use crate::counters::bump;
use crate::frame::{FrameKind, REJECT_AFTER_MESSAGES, classify, data_counter, receiver_index};
use crate::peer::Peer;
use crate::{DropReason, Outcome, Output, PeerId, Slot, Wg};
use boringtun::noise::errors::WireGuardError;
use boringtun::noise::{Tunn, TunnResult};
use std::net::SocketAddr;
use std::time::Instant;

impl Wg {
    /// Seals the plain packets of `slots` for one peer. Each ends as [`Outcome::Sealed`] with its endpoint, as
    /// [`Outcome::Queued`] (no session yet; wake the thread that polls) or dropped.
    pub fn seal_batch(&self, now: Instant, peer: PeerId, slots: &mut [Slot]) {
        let table = self.table.load();
        let Some(peer) = table.by_id(peer) else {
            bump(&self.counters.tx_dropped_no_session, slots.len() as u64);
            slots
                .iter_mut()
                .for_each(|slot| slot.outcome = Outcome::Dropped(DropReason::UnknownPeer));
            return;
        };
        let mut state = peer.lock();
        let to = state.endpoint.filter(|_| state.has_session());
        for slot in slots {
            slot.outcome = match (state.tunn.as_mut(), to) {
                (None, _) => {
                    bump(&self.counters.tx_dropped_no_session, 1);
                    Outcome::Dropped(DropReason::UnknownPeer)
                }
                (Some(_), None) => {
                    peer.enqueue(&mut state, now, slot.plain(), &self.counters);
                    Outcome::Queued
                }
                (Some(tunn), Some(endpoint)) => seal(tunn, endpoint, peer, slot),
            };
        }
    }

    /// Opens the datagrams of `slots`, which may be of several peers; each slot's `endpoint` says where it came from.
    /// `outputs` gets something only when a datagram proved a new session or a new endpoint.
    pub fn open_batch(&self, now: Instant, slots: &mut [Slot], outputs: &mut Vec<Output>) {
        let table = self.table.load();
        for slot in slots {
            let peer = match classify(slot.sealed()) {
                Some(FrameKind::Data) => receiver_index(FrameKind::Data, slot.sealed()),
                _ => None,
            }
            .and_then(|index| table.by_receiver_index(index));
            slot.outcome = match peer {
                Some(peer) => self.open(now, peer, slot, outputs),
                None => {
                    bump(&self.counters.rx_dropped_unknown_peer, 1);
                    Outcome::Dropped(DropReason::UnknownPeer)
                }
            };
        }
    }

    fn open(&self, now: Instant, peer: &Peer, slot: &mut Slot, outputs: &mut Vec<Output>) -> Outcome {
        let drop_auth = || {
            bump(&self.counters.rx_dropped_auth, 1);
            Outcome::Dropped(DropReason::Auth)
        };
        // boringtun adds to the counter without a bound.
        if data_counter(slot.sealed()).is_none_or(|counter| counter >= REJECT_AFTER_MESSAGES) {
            return drop_auth();
        }
        let mut state = peer.lock();
        let Some(tunn) = state.tunn.as_mut() else {
            return drop_auth();
        };
        let (sealed, room) = slot.opening();
        let outcome = match tunn.decapsulate(None, sealed, room) {
            TunnResult::WriteToTunnelV4(plain, _) | TunnResult::WriteToTunnelV6(plain, _) => {
                slot.plain_len = plain.len();
                Outcome::Opened
            }
            TunnResult::Done => Outcome::Keepalive,
            // The form was checked above, so this one is about the packet inside, after authentication.
            TunnResult::Err(WireGuardError::InvalidPacket) => Outcome::Dropped(DropReason::Malformed),
            TunnResult::Err(_) | TunnResult::WriteToNetwork(_) => return drop_auth(),
        };
        slot.peer = Some(peer.id);
        bump(&peer.bytes_received, slot.sealed_len as u64);
        if let Some(from) = slot.endpoint {
            peer.believe(&mut state, now, from, outputs);
        }
        if state.unconfirmed.is_some() && state.unconfirmed == receiver_index(FrameKind::Data, slot.sealed()) {
            peer.established(&mut state, now, &self.counters, outputs);
        }
        outcome
    }
}

fn seal(tunn: &mut Tunn, endpoint: SocketAddr, peer: &Peer, slot: &mut Slot) -> Outcome {
    let Some((plain, room)) = slot.sealing() else {
        return Outcome::Dropped(DropReason::Malformed);
    };
    let TunnResult::WriteToNetwork(sealed) = tunn.encapsulate(plain, room) else {
        return Outcome::Dropped(DropReason::Malformed);
    };
    slot.sealed_len = sealed.len();
    slot.endpoint = Some(endpoint);
    bump(&peer.bytes_sent, slot.sealed_len as u64);
    Outcome::Sealed
}
