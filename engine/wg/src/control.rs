//! The slow half: handshakes and timers. One thread calls it.

use crate::counters::bump;
use crate::frame::{FrameKind, classify, receiver_index};
use crate::peer::{HANDSHAKE_BYTES, Peer, State};
use crate::{PeerId, Wg};
use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::{Packet, TunnResult};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How exact the timers of a peer with a session are.
const TICK: Duration = Duration::from_millis(100);

/// What the caller is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes.
    Datagram {
        /// Where to.
        to: SocketAddr,
        /// The whole payload.
        bytes: Vec<u8>,
    },
    /// A session came: judge these plain packets again and seal what still may go, in this order.
    Release {
        /// Whom they are for.
        peer: PeerId,
        /// Plain IP packets, oldest first.
        packets: Vec<Vec<u8>>,
    },
    /// For status and logs.
    Event(Event),
}

/// What happened to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session stands and the other side proved it. Told at most once a second of one peer.
    HandshakeCompleted {
        /// Who it is.
        peer: PeerId,
    },
    /// Nobody answered; what waited was dropped.
    HandshakeTimedOut {
        /// Who it is.
        peer: PeerId,
    },
    /// An authentic packet came from another place than before. Told at most once a second of one peer.
    EndpointChanged {
        /// Who it is.
        peer: PeerId,
        /// Where it is now.
        endpoint: SocketAddr,
    },
}

impl Wg {
    /// Takes one handshake message (initiation, response or cookie) from `src`.
    pub fn handshake(&self, now: Instant, src: SocketAddr, packet: &[u8], outputs: &mut Vec<Output>) {
        let taken = match classify(packet) {
            Some(FrameKind::Initiation | FrameKind::Response) => self.handshake_message(now, src, packet, outputs),
            Some(FrameKind::Cookie) => self.cookie(now, packet, outputs),
            Some(FrameKind::Data) | None => None,
        };
        if taken.is_none() {
            bump(&self.counters.handshakes_refused, 1);
        }
    }

    /// Runs what is due.
    pub fn poll(&self, now: Instant, outputs: &mut Vec<Output>) {
        self.limiter.reset_count();
        for peer in self
            .table
            .load()
            .peers()
            .filter(|peer| peer.active.load(Ordering::Relaxed))
        {
            peer.tick(&mut peer.lock(), now, &self.counters, outputs);
        }
    }

    /// When [`Wg::poll`] is to be called next; `None` while no peer has anything running.
    #[must_use]
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let table = self.table.load();
        let active = table.peers().filter(|peer| peer.active.load(Ordering::Relaxed));
        active
            .map(|peer| {
                peer.lock()
                    .attempt
                    .as_ref()
                    .map_or(now + TICK, |attempt| attempt.deadline())
            })
            .min()
    }

    /// `None`: refused. MAC and rate are checked before anything is computed with the static key.
    fn handshake_message(&self, now: Instant, src: SocketAddr, packet: &[u8], outputs: &mut Vec<Output>) -> Option<()> {
        let mut reply = [0; HANDSHAKE_BYTES];
        match self.limiter.verify_packet(Some(src.ip()), packet, &mut reply) {
            Ok(Packet::HandshakeInit(initiation)) => {
                let half = parse_handshake_anon(&self.private, &self.public, &initiation).ok()?;
                let table = self.table.load();
                let Some(peer) = table.by_key(&half.peer_static_public) else {
                    bump(&self.counters.rx_dropped_unknown_peer, 1);
                    return None;
                };
                let mut state = peer.lock();
                peer.tick(&mut state, now, &self.counters, outputs);
                answer(peer, &mut state, src, packet, outputs)
            }
            Ok(Packet::HandshakeResponse(_)) => {
                let table = self.table.load();
                let Some(peer) = table.by_receiver_index(receiver_index(FrameKind::Response, packet)?) else {
                    bump(&self.counters.rx_dropped_unknown_peer, 1);
                    return None;
                };
                let mut state = peer.lock();
                peer.tick(&mut state, now, &self.counters, outputs);
                self.complete(peer, &mut state, now, src, packet, outputs)
            }
            Ok(_) => None,
            Err(TunnResult::WriteToNetwork(cookie)) => {
                outputs.push(Output::Datagram {
                    to: src,
                    bytes: cookie.to_vec(),
                });
                None
            }
            Err(_) => {
                bump(&self.counters.rx_dropped_auth, 1);
                None
            }
        }
    }

    fn complete(
        &self,
        peer: &Peer,
        state: &mut State,
        now: Instant,
        src: SocketAddr,
        packet: &[u8],
        outputs: &mut Vec<Output>,
    ) -> Option<()> {
        let mut buffer = [0; HANDSHAKE_BYTES];
        match state.tunn.as_mut()?.decapsulate(Some(src.ip()), packet, &mut buffer) {
            TunnResult::WriteToNetwork(bytes) if bytes.first() == Some(&4) => {
                let keepalive = bytes.to_vec();
                bump(&peer.bytes_sent, keepalive.len() as u64);
                peer.believe(state, now, src, outputs);
                outputs.push(Output::Datagram {
                    to: src,
                    bytes: keepalive,
                });
                peer.established(state, now, &self.counters, outputs);
                Some(())
            }
            TunnResult::WriteToNetwork(cookie) => {
                outputs.push(Output::Datagram {
                    to: src,
                    bytes: cookie.to_vec(),
                });
                None
            }
            _ => None,
        }
    }

    /// A cookie makes the next initiation prove our address; it never moves the endpoint.
    fn cookie(&self, now: Instant, packet: &[u8], outputs: &mut Vec<Output>) -> Option<()> {
        let table = self.table.load();
        let peer = table.by_receiver_index(receiver_index(FrameKind::Cookie, packet)?)?;
        let mut state = peer.lock();
        peer.tick(&mut state, now, &self.counters, outputs);
        let mut nothing = [0; HANDSHAKE_BYTES];
        let taken = state.tunn.as_mut()?.decapsulate(None, packet, &mut nothing);
        matches!(taken, TunnResult::Done).then_some(())
    }
}

/// Answers an initiation. The session counts once the initiator has used it, the endpoint too.
fn answer(peer: &Peer, state: &mut State, src: SocketAddr, packet: &[u8], outputs: &mut Vec<Output>) -> Option<()> {
    let mut buffer = [0; HANDSHAKE_BYTES];
    let TunnResult::WriteToNetwork(bytes) = state.tunn.as_mut()?.decapsulate(Some(src.ip()), packet, &mut buffer)
    else {
        return None;
    };
    let bytes = bytes.to_vec();
    let answered = bytes.first() == Some(&2);
    if answered {
        state.unconfirmed = bytes
            .get(4..)
            .and_then(|rest| rest.first_chunk())
            .map(|index| u32::from_le_bytes(*index));
        peer.active.store(true, Ordering::Relaxed);
    }
    outputs.push(Output::Datagram { to: src, bytes });
    answered.then_some(())
}
