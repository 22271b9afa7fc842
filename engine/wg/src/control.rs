//! The slow half: handshake messages. One thread calls it.

use crate::counters::bump;
use crate::frame::{FrameKind, classify};
use crate::noise::handshake::Received;
use crate::noise::message::{CookieReply, Initiation, Response};
use crate::session::Session;
use crate::table::Receiver;
use crate::{PeerId, Wg, lock};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A peer gets no more answers than one in this time, however new its initiations are (50 a second, as in Linux).
const BETWEEN_INITIATIONS: Duration = Duration::from_millis(20);

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
    /// Takes one handshake message (initiation, response or cookie reply) from `from`.
    pub fn handshake(&self, now: Instant, from: SocketAddr, packet: &[u8], outputs: &mut Vec<Output>) {
        let taken = match classify(packet) {
            Some(FrameKind::Initiation) => self.initiation(now, from, packet, outputs),
            Some(FrameKind::Response) => self.response(now, from, packet, outputs),
            Some(FrameKind::Cookie) => self.cookie(now, packet),
            Some(FrameKind::Data) | None => None,
        };
        if taken.is_none() {
            bump(&self.counters.handshakes_refused, 1);
        }
    }

    /// What is cheap comes first: the first MAC; under load the second one and the bucket of the sender's network
    /// (whitepaper, section 5.3). `None`: refused, perhaps with a cookie.
    fn worth_computing(&self, now: Instant, from: SocketAddr, packet: &[u8], outputs: &mut Vec<Output>) -> Option<()> {
        if !self.checker.knows_us(packet) {
            bump(&self.counters.rx_dropped_auth, 1);
            return None;
        }
        if !self.limiter.wants_proof(now) {
            return Some(());
        }
        let mut random = lock(&self.random);
        let cookie = self.checker.cookie(now, from, &mut **random)?;
        if self.checker.holds(&cookie, packet) {
            return self.limiter.admit(now, from.ip()).then_some(());
        }
        self.limiter.spare(now);
        let reply = self.checker.reply(cookie, packet, &mut **random)?;
        outputs.push(Output::Datagram {
            to: from,
            bytes: reply.encode().to_vec(),
        });
        None
    }

    /// Answers an initiation. The session counts once the initiator has used it, the endpoint too.
    fn initiation(&self, now: Instant, from: SocketAddr, packet: &[u8], outputs: &mut Vec<Output>) -> Option<()> {
        self.worth_computing(now, from, packet, outputs)?;
        let unauthentic = || bump(&self.counters.rx_dropped_auth, 1);
        let received = Received::open(&self.own, &Initiation::parse(packet)?);
        let received = received.or_else(|| {
            unauthentic();
            None
        })?;
        let Some(peer) = self.table.by_key(&received.public) else {
            bump(&self.counters.rx_dropped_unknown_peer, 1);
            self.strangers.note(now, from, received.public, packet);
            // It may have been declared before it was noted.
            let declared = self.table.by_key(&received.public);
            declared.iter().for_each(|peer| self.look_soon(now, peer));
            return None;
        };
        let remote = peer.remote(&self.own)?;
        let Some((timestamp, initiation)) = received.authenticate(&remote) else {
            unauthentic();
            return None;
        };
        let mut state = peer.lock();
        let fresh = state
            .newest
            .is_none_or(|(newest, at)| timestamp > newest && now.saturating_duration_since(at) >= BETWEEN_INITIATIONS);
        if state.retired || !fresh {
            return None;
        }
        state.newest = Some((timestamp, now));
        let mut random = lock(&self.random);
        let waits = Receiver::Handshake(peer.clone());
        let index = self.table.new_index(waits, &mut **random)?;
        let answer = initiation.respond(&state.preshared, index, &mut **random);
        drop(random);
        let session = answer.and_then(|(keys, response)| Some((Session::new(now, index, false, &keys)?, response)));
        let Some((session, response)) = session else {
            self.table.free_index(index);
            return None;
        };
        let mut bytes = response.encode();
        self.begin_answered(&peer, &mut state, session, now);
        state.jar.sign(now, &peer.public_key, &mut bytes)?;
        peer.traffic.sent.store(self.stamp(now), Ordering::SeqCst);
        outputs.push(Output::Datagram {
            to: from,
            bytes: bytes.to_vec(),
        });
        Some(())
    }

    fn response(&self, now: Instant, from: SocketAddr, packet: &[u8], outputs: &mut Vec<Output>) -> Option<()> {
        self.worth_computing(now, from, packet, outputs)?;
        let response = Response::parse(packet)?;
        let Some(Receiver::Handshake(peer)) = self.table.by_index(response.receiver) else {
            bump(&self.counters.rx_dropped_unknown_peer, 1);
            return None;
        };
        let mut state = peer.lock();
        let pending = state
            .pending
            .as_ref()
            .filter(|pending| pending.index == response.receiver)?;
        let Some(keys) = pending.complete(&self.own, &state.preshared, &response) else {
            bump(&self.counters.rx_dropped_auth, 1);
            return None;
        };
        let session = Session::new(now, pending.index, true, &keys)?;
        state.pending = None;
        self.begin_initiated(&peer, &mut state, session, now);
        peer.traffic.note_received(self.stamp(now));
        drop(state);
        self.believe(&peer, now, from, outputs);
        // The other side seals nothing before it has seen something of this session.
        self.keepalive(&peer, now, outputs);
        self.established(&peer, &mut peer.lock(), now, outputs);
        Some(())
    }

    /// A cookie makes the next message prove our address; it never moves the endpoint (mullvad/gotatun 0.8.0).
    fn cookie(&self, now: Instant, packet: &[u8]) -> Option<()> {
        let reply = CookieReply::parse(packet)?;
        let receiver = self.table.by_index(reply.receiver)?;
        let peer = receiver.peer();
        peer.lock().jar.take(now, &peer.public_key, &reply)
    }
}
