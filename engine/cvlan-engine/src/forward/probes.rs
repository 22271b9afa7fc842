//! The searches of all paths that are used, as the control thread runs them.

use super::Line;
use super::paths::{BASE, inside};
use super::probe::ProbePacket;
use super::search::{Bounds, Probe, Search};
use crate::counters::add;
use crate::echo::EchoKind;
use cvlan_io::{Run, known_path_mtu};
use cvlan_wg::{BURST_BYTES, Burst, PeerId};
use cvlan_wire::PeerHandle;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Searches before those of peers that went away are looked for.
const FEW: usize = 64;
/// When a search whose session ended is looked at again.
const LATER: Duration = Duration::from_secs(1);

/// What the data path tells of a path.
pub enum News {
    /// Large packets go there.
    Used(PeerId),
    /// The kernel knows that packets past so many bytes do not go.
    Narrow { peer: PeerId, limit: u16 },
    /// A probe came, or the answer to one.
    Probe { peer: PeerId, packet: ProbePacket },
}

struct Tracked {
    search: Search,
    endpoint: SocketAddr,
    due: Option<Instant>,
}

/// One search for each peer that large packets go to.
pub struct Probes {
    searches: HashMap<PeerId, Tracked>,
    due: BTreeSet<(Instant, PeerId)>,
    burst: Burst,
    probes: Vec<Probe>,
    /// So many searches may there be before who went away is looked for.
    sweep_at: usize,
}

impl Probes {
    /// Nothing is searched.
    pub fn new() -> Self {
        Self {
            searches: HashMap::new(),
            due: BTreeSet::new(),
            burst: Burst::with_capacity(BURST_BYTES),
            probes: Vec::new(),
            sweep_at: FEW,
        }
    }

    /// When [`Probes::poll`] is to be called next.
    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Runs what is due.
    pub fn poll(&mut self, line: &Line, now: Instant) {
        while let Some((at, peer)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, peer));
            self.work(line, peer, now, |_| ());
        }
    }

    /// Takes what the data path tells.
    pub fn take(&mut self, line: &Line, news: &News, now: Instant) {
        match news {
            News::Used(peer) => self.work(line, *peer, now, Search::used),
            News::Narrow { peer, limit } => self.work(line, *peer, now, |search| search.narrow(*limit, now)),
            News::Probe { peer, packet } if packet.kind == EchoKind::Request => self.serve(line, *peer, packet, now),
            News::Probe { peer, packet } => {
                if self.searches.contains_key(peer) {
                    add(&line.shared.counters.mtu_probes_answered, 1);
                    self.work(line, *peer, now, |search| search.answered(packet.id, now));
                }
            }
        }
    }

    /// The peer is elsewhere: its path is another one.
    pub fn moved(&mut self, line: &Line, peer: PeerId, now: Instant) {
        if self.searches.contains_key(&peer) {
            self.work(line, peer, now, |_| ());
        }
    }

    /// Tells the search something and does what follows from it.
    fn work(&mut self, line: &Line, peer: PeerId, now: Instant, tell: impl FnOnce(&mut Search)) {
        let Some(stats) = line.shared.wg.stats(peer, now) else {
            return self.forget(line, peer);
        };
        let Some(endpoint) = stats.endpoint.filter(|_| stats.session) else {
            // Use is told again with the next packet; what is searched waits for a session.
            line.shared.paths.untold(peer);
            let waits = self.searches.contains_key(&peer).then(|| now + LATER);
            return self.plan(peer, waits);
        };
        let between = addresses(line, peer);
        let (bounds, probing) = (bounds(endpoint, line.shared.mtu()), between.is_some());
        self.sweep(line, now);
        let tracked = self.searches.entry(peer).or_insert_with(|| Tracked {
            search: Search::new(bounds, probing, now),
            endpoint,
            due: None,
        });
        if tracked.endpoint != endpoint || tracked.search.bounds() != bounds {
            tracked.endpoint = endpoint;
            tracked.search.restart(bounds, probing, now);
        }
        let black_holes = tracked.search.black_holes();
        tell(&mut tracked.search);
        tracked.search.poll(now, &mut self.probes);
        for probe in self.probes.drain(..) {
            let Some((from, to)) = between else { break };
            let packet = ProbePacket {
                kind: EchoKind::Request,
                id: probe.id,
                from,
                to,
            };
            let limit = send(line, &mut self.burst, peer, &packet, probe.size, now);
            if let Some(limit) = limit {
                tracked.search.narrow(limit, now);
            }
        }
        let fell = tracked.search.black_holes().saturating_sub(black_holes);
        add(&line.shared.counters.mtu_black_holes, fell);
        line.shared.paths.publish(peer, &tracked.search);
        let next = tracked.search.next();
        self.plan(peer, next);
    }

    fn plan(&mut self, peer: PeerId, next: Option<Instant>) {
        let Some(tracked) = self.searches.get_mut(&peer) else {
            return;
        };
        if let Some(at) = std::mem::replace(&mut tracked.due, next) {
            self.due.remove(&(at, peer));
        }
        self.due.extend(next.map(|at| (at, peer)));
    }

    fn forget(&mut self, line: &Line, peer: PeerId) {
        if let Some(at) = self.searches.remove(&peer).and_then(|tracked| tracked.due) {
            self.due.remove(&(at, peer));
        }
        line.shared.paths.forget(peer);
    }

    /// Peers come and go; who is gone is not kept for long.
    fn sweep(&mut self, line: &Line, now: Instant) {
        if self.searches.len() < self.sweep_at {
            return;
        }
        let gone = |peer: &&PeerId| line.shared.wg.stats(**peer, now).is_none();
        let gone: Vec<PeerId> = self.searches.keys().filter(gone).copied().collect();
        gone.iter().for_each(|peer| self.forget(line, *peer));
        self.sweep_at = FEW.max(self.searches.len() * 2);
    }

    fn serve(&mut self, line: &Line, peer: PeerId, probe: &ProbePacket, now: Instant) {
        add(&line.shared.counters.mtu_probes_served, 1);
        let _ = seal(line, &mut self.burst, peer, &probe.answer(), 0, now).map(|to| {
            line.udp
                .send_batch(self.burst.frames().map(|datagram| Run::one(to, datagram)))
        });
    }
}

/// Sends a probe; says how large a packet may be when the kernel knows that it does not go.
fn send(line: &Line, burst: &mut Burst, peer: PeerId, packet: &ProbePacket, size: u16, now: Instant) -> Option<u16> {
    let to = seal(line, burst, peer, packet, size.into(), now)?;
    add(&line.shared.counters.mtu_probes_sent, 1);
    let datagram = burst.frames().next()?;
    // A probe that could not be sent is one that was lost.
    let narrow = matches!(line.udp.send_whole(to, datagram), Ok(false));
    narrow
        .then(|| known_path_mtu(to).ok())
        .flatten()
        .map(|mtu| inside(to, mtu))
}

/// `None` when there is no session: a probe is no reason to make one.
fn seal(
    line: &Line,
    burst: &mut Burst,
    peer: PeerId,
    packet: &ProbePacket,
    size: usize,
    now: Instant,
) -> Option<SocketAddr> {
    let bytes = packet.encode()?;
    burst.clear();
    burst.push_padded(bytes.len(), size)?.copy_from_slice(&bytes);
    line.shared.wg.seal_if_ready(now, peer, burst)
}

/// Sizes of packets to an endpoint, through an interface for packets of `mtu` bytes.
fn bounds(endpoint: SocketAddr, mtu: usize) -> Bounds {
    Bounds {
        least: inside(endpoint, 0),
        base: BASE,
        most: u16::try_from(mtu).unwrap_or(u16::MAX),
    }
}

/// This node's overlay address and that of the peer, of one family; `None` where the map names none, and for peers that are no nodes.
fn addresses(line: &Line, peer: PeerId) -> Option<(IpAddr, IpAddr)> {
    let snapshot = line.shared.snapshot.load();
    let map = snapshot.map.as_ref()?;
    let (own, other) = (map.own.as_ref()?, &map.peers.get(&PeerHandle(peer.0))?.node);
    own.addresses.iter().find_map(|from| {
        let same = |to: &&IpAddr| to.is_ipv4() == from.is_ipv4();
        other.addresses.iter().find(same).map(|to| (*from, *to))
    })
}
