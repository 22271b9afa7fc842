//! The side that begins: reads from disk what it can, then takes what only the other process knows.

use super::notes::{Kind, Line, Named, Note, Step, printable};
use super::records::{Head, Item, Reader, bad};
use super::{FORMATS, HandoverError, socket_path};
use crate::apply;
use crate::dns::Sockets;
use crate::engine::{Core, Engine};
use crate::interface::Interface;
use crate::state_dir::StateDir;
use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use cvlan_filter::Direction;
use cvlan_io::{Tun, UdpPort, monotonic};
use cvlan_wg::BadState;
use cvlan_wire::PeerHandle;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::AsyncReadExt;

/// For an answer to the greeting: a declaration may be under way.
const GREETING_PATIENCE: Duration = Duration::from_secs(60);
/// For the state, and for the last word.
const STATE_PATIENCE: Duration = Duration::from_secs(10);
/// For the other process to end.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// How this process begins.
pub enum Beginning {
    /// As any: nobody runs, or whoever ran makes way and cannot hand over, for this reason.
    Alone(Option<pb::Takeover>),
    /// From what another process hands over.
    Facing(Former),
}

/// The engine that runs, as it waits.
pub struct Former {
    line: Line,
    instance_id: String,
}

/// What came with the sessions.
pub struct Inherited {
    /// The lock of the folder, held.
    pub lock: File,
    /// The control socket.
    pub control: UnixListener,
    /// Where the next successor is waited for.
    pub handover: UnixListener,
    /// Where figures were shown.
    pub figures: Option<TcpListener>,
    /// Ends with the other process.
    pub former: UnixStream,
}

/// Greets the engine of the folder, if one runs.
///
/// # Errors
/// When there is one that does not answer as it should; it goes on.
pub async fn begin(state: &Path) -> Result<Beginning, HandoverError> {
    let stream = match tokio::net::UnixStream::connect(socket_path(state)).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(Beginning::Alone(None));
        }
        Err(error) => return Err(error.into()),
    };
    let owner = stream.peer_cred()?.uid();
    if owner != 0 && owner != cvlan_io::effective_uid() {
        return Err(HandoverError::Owner(owner));
    }
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    let line = Line::new(stream);
    let hello = Note {
        formats: FORMATS.to_vec(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Note::new(Step::Hello)
    };
    line.send(hello, &[])?;
    match line.receive(GREETING_PATIENCE)? {
        (Step::Frozen, note, _) if note.formats.iter().all(|format| FORMATS.contains(format)) => {
            Ok(Beginning::Facing(Former {
                line,
                instance_id: printable(&note.instance_id),
            }))
        }
        (Step::Unable, note, _) => {
            let why = printable(&note.why);
            tracing::info!(why, "sessions are not taken over: an ordinary restart");
            line.send(Note::new(Step::Leave), &[])?;
            gone(line.into_stream()).await?;
            Ok(Beginning::Alone(Some(pb::Takeover {
                former_instance_id: printable(&note.instance_id),
                ordinary: why,
                ..pb::Takeover::default()
            })))
        }
        _ => Err(HandoverError::Protocol("it answers a greeting with something else")),
    }
}

/// Returns when the other process has ended, or ends for long.
///
/// # Errors
/// When the connection cannot be watched.
pub async fn gone(former: UnixStream) -> io::Result<()> {
    former.set_nonblocking(true)?;
    let mut former = tokio::net::UnixStream::from_std(former)?;
    let mut room = [0; 64];
    let end = async { while former.read(&mut room).await.is_ok_and(|read| read > 0) {} };
    // Later than that it is no longer waited for.
    let _ = tokio::time::timeout(END_PATIENCE, end).await;
    Ok(())
}

impl Engine {
    /// Reads keys, settings and map from the folder, then has the other engine stop and goes on where it ended. Packets flow
    /// when this returns; until shortly before they flow through the other one.
    ///
    /// # Errors
    /// [`HandoverError`]: nothing was taken over and the other engine goes on.
    pub fn succeed(&self, former: Former) -> Result<Inherited, HandoverError> {
        let mut core = self.core();
        self.load(&mut core)?;
        former.line.send(Note::new(Step::Stop), &[])?;
        let (step, _, descriptors) = former.line.receive(STATE_PATIENCE)?;
        if step != Step::State {
            return Err(HandoverError::Protocol("it gives no state"));
        }
        let mut legacy = Legacy(descriptors);
        let (head, mut takeover) = self.adopt(&mut core, legacy.take(Kind::Memory)?)?;
        let name = core.settings.as_ref().map_or("", |settings| &settings.interface_name);
        let tun = Tun::adopt(legacy.take(Kind::Tun)?, name)?;
        let udp = UdpPort::adopt(legacy.take(Kind::Udp)?)?;
        let (lock, control) = (
            lock(&self.state, legacy.take(Kind::Lock)?)?,
            legacy.take(Kind::Control)?,
        );
        let handover = legacy.take(Kind::Handover)?;
        let figures = legacy.take(Kind::Figures).ok().map(TcpListener::from);
        self.dns.inherit(legacy.dns());
        former.line.send(Note::new(Step::Ready), &[])?;
        if former.line.receive(STATE_PATIENCE)?.0 != Step::Commit {
            return Err(HandoverError::Protocol("it does not let go"));
        }
        apply::take_up(self, &mut core, Interface::Tun(tun), udp).map_err(|failure| bad(&failure.to_string()))?;
        let gap = monotonic().saturating_sub(Duration::from_nanos(head.stopped_at));
        takeover.gap_us = u64::try_from(gap.as_micros()).unwrap_or(u64::MAX);
        takeover.former_instance_id = former.instance_id;
        let (sessions, flows, gap_us) = (takeover.sessions, takeover.flows, takeover.gap_us);
        tracing::info!(sessions, flows, gap_us, "took over");
        drop(core);
        self.came_by(takeover);
        Ok(Inherited {
            lock,
            control: control.into(),
            handover: handover.into(),
            figures,
            former: former.line.into_stream(),
        })
    }

    fn adopt(&self, core: &mut Core, memory: OwnedFd) -> Result<(Head, pb::Takeover), HandoverError> {
        let Some(identity) = &core.identity else {
            return Err(bad("this engine has no keys"));
        };
        let (mut reader, head, common) = Reader::open(memory)?;
        let position = identity.store.position(SystemTime::now());
        if head.public_key != identity.keys.wireguard_public() {
            return Err(bad("it is of another node"));
        }
        if (head.epoch, head.revision) != (position.epoch, position.revision) {
            return Err(bad("it is of another map than the folder holds"));
        }
        let (now, shared) = (Instant::now(), &identity.shared);
        let wrong = |error: BadState| bad(&error.to_string());
        shared.wg.adopt_common(now, common).map_err(wrong)?;
        shared.counters.adopt(&head.counters, &shared.wg);
        let snapshot = shared.snapshot();
        let peers = snapshot.map.iter().flat_map(|map| map.peers.iter());
        let handles: HashMap<&str, PeerHandle> = peers
            .map(|(handle, peer)| (peer.node.node_id.as_str(), *handle))
            .collect();
        let mut takeover = pb::Takeover::default();
        while let Some(item) = reader.next()? {
            match item {
                Item::Peer(told) => {
                    let lives = told.current.is_some();
                    if shared.wg.adopt_peer(now, *told).map_err(wrong)? && lives {
                        takeover.sessions += 1;
                    }
                }
                Item::Flow(node, told) => {
                    let told = handles
                        .get(node.as_str())
                        .map(|handle| cvlan_filter::FlowState { node: *handle, ..told });
                    if told.is_some_and(|told| shared.flows.adopt(&snapshot.policy, &told, now)) {
                        takeover.flows += 1;
                    }
                }
                Item::Rule(rule) => {
                    let id = rule.id.as_slice().try_into().map_err(|_| bad("a rule has no id"))?;
                    let policy = &snapshot.policy;
                    policy.count_more(&id, Direction::Outbound, rule.packets, rule.bytes);
                }
            }
        }
        core.generation = head.generation;
        Ok((head, takeover))
    }
}

/// The lock of this very folder.
fn lock(state: &StateDir, fd: OwnedFd) -> Result<File, HandoverError> {
    let held = File::from(fd);
    let (is, wanted) = (held.metadata()?, fs::metadata(state.path().join("lock"))?);
    if (is.dev(), is.ino()) != (wanted.dev(), wanted.ino()) {
        return Err(bad("its lock is of another folder"));
    }
    Ok(held)
}

/// Descriptors by what they are.
struct Legacy(Vec<Named>);

impl Legacy {
    fn take(&mut self, kind: Kind) -> Result<OwnedFd, HandoverError> {
        let at = self.0.iter().position(|(named, _)| *named == kind);
        at.map(|at| self.0.swap_remove(at).1)
            .ok_or(HandoverError::Protocol("a descriptor is missing"))
    }

    fn dns(&mut self) -> Option<Sockets> {
        let udp = self.take(Kind::DnsUdp).ok()?;
        let tcp = self.take(Kind::DnsTcp).ok()?;
        Some((UdpSocket::from(udp), TcpListener::from(tcp)))
    }
}
