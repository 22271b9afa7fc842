//! The side that runs: stops, tells everything, and ends when the other one has it all.

use super::notes::{Kind, Line, Note, Step, printable};
use super::records::{Head, Rule, Writer, bad, nanos};
use super::{FORMATS, HandoverError};
use crate::apply;
use crate::dns::Sockets;
use crate::engine::{Core, Engine};
use crate::forward::Forwarder;
use crate::interface::Interface;
use crate::server;
use cvlan_io::{UdpPort, monotonic};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

/// For the first note of who connected.
const HELLO_PATIENCE: Duration = Duration::from_secs(2);
/// For reading and verifying the map. Packets flow meanwhile; declarations wait.
const LOAD_PATIENCE: Duration = Duration::from_secs(20);
/// While nothing flows.
const READY_PATIENCE: Duration = Duration::from_secs(2);
/// Before another try when the system has no descriptor for a caller.
const BACK_OFF: Duration = Duration::from_millis(100);

/// What the process holds beside its engine.
pub struct Estate {
    /// Of the folder.
    pub lock: File,
    /// The control socket.
    pub control: OwnedFd,
    /// Where successors are waited for.
    pub handover: OwnedFd,
    /// Where figures are shown.
    pub figures: Option<OwnedFd>,
}

/// Why this process is to end.
pub enum Outcome {
    /// Another one goes on. The connection is to be closed when everything else is gone.
    Given(UnixStream),
    /// Another one starts anew; the same of its connection.
    Left(UnixStream),
}

/// Waits for a successor; returns when this process is to end. A try that fails leaves everything as it was.
///
/// # Errors
/// When the listener cannot be watched.
pub async fn wait(engine: Arc<Engine>, listener: UnixListener, estate: Estate) -> io::Result<Outcome> {
    let listener = server::listening(listener)?;
    let estate = Arc::new(estate);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(BACK_OFF).await;
            continue;
        };
        if !server::permitted(&stream) {
            continue;
        }
        let (engine, estate) = (engine.clone(), estate.clone());
        let given = tokio::task::spawn_blocking(move || give(&engine, &estate, stream.into_std()?)).await;
        match given {
            Ok(Ok(outcome)) => return Ok(outcome),
            Ok(Err(error)) => tracing::error!(%error, "not handed over: this engine goes on"),
            Err(error) => tracing::error!(%error, "not handed over: this engine goes on"),
        }
    }
}

fn give(engine: &Engine, estate: &Estate, stream: UnixStream) -> Result<Outcome, HandoverError> {
    stream.set_nonblocking(false)?;
    let line = Line::new(stream);
    let (step, hello, _) = line.receive(HELLO_PATIENCE)?;
    if step != Step::Hello {
        return Err(HandoverError::Protocol("it does not begin with a greeting"));
    }
    tracing::info!(version = printable(&hello.version), "another engine wants to take over");
    let mut frozen = engine.freeze();
    let format = FORMATS.into_iter().rev().find(|format| hello.formats.contains(format));
    let (Some(format), None) = (format, frozen.why_not()) else {
        let why = frozen
            .why_not()
            .unwrap_or("the two versions know no common form of a state");
        drop(frozen);
        line.send(
            Note {
                why: why.to_owned(),
                instance_id: engine.instance_id().to_owned(),
                ..Note::new(Step::Unable)
            },
            &[],
        )?;
        return match line.receive(LOAD_PATIENCE)? {
            (Step::Leave, ..) => Ok(Outcome::Left(line.into_stream())),
            _ => Err(HandoverError::Protocol("it neither asks to be made way for nor goes")),
        };
    };
    let offer = Note {
        formats: vec![format],
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance_id: engine.instance_id().to_owned(),
        ..Note::new(Step::Frozen)
    };
    line.send(offer, &[])?;
    if line.receive(LOAD_PATIENCE)?.0 != Step::Stop {
        return Err(HandoverError::Protocol("it does not ask to stop"));
    }
    let memory = frozen.stop()?;
    frozen.send_state(&line, estate, &memory)?;
    drop(memory);
    if line.receive(READY_PATIENCE)?.0 != Step::Ready {
        return Err(HandoverError::Protocol("it does not say that it is ready"));
    }
    frozen.commit(|| line.send(Note::new(Step::Commit), &[]))?;
    tracing::info!("handed over");
    Ok(Outcome::Given(line.into_stream()))
}

/// An engine whose declarations wait. When this is dropped before [`Frozen::commit`], everything goes on as before.
pub struct Frozen<'a> {
    engine: &'a Engine,
    core: MutexGuard<'a, Core>,
    stopped: Option<Stopped>,
}

/// What the threads worked with.
struct Stopped {
    interface: Arc<Interface>,
    udp: Arc<UdpPort>,
    dns: Option<Sockets>,
}

impl Engine {
    fn freeze(&self) -> Frozen<'_> {
        Frozen {
            engine: self,
            core: self.core(),
            stopped: None,
        }
    }
}

impl Frozen<'_> {
    /// Why there is nothing that another process could go on with.
    fn why_not(&self) -> Option<&'static str> {
        match self.core.forwarder.as_ref().map(|forwarder| &**forwarder.interface()) {
            None => Some("nothing is forwarded yet"),
            Some(Interface::Stack(_)) => Some("connections through the engine's own network stack are not handed over"),
            Some(Interface::Tun(_)) => None,
        }
    }

    /// Ends the threads, the last packets of each worked off, and tells everything. From here on packets wait in the
    /// interface and the socket.
    fn stop(&mut self) -> Result<File, HandoverError> {
        let Some(forwarder) = self.core.forwarder.take() else {
            return Err(bad("nothing is forwarded"));
        };
        let stopped_at = monotonic();
        self.stopped = Some(Stopped {
            interface: forwarder.interface().clone(),
            udp: forwarder.udp().clone(),
            dns: self.engine.dns.pause(),
        });
        forwarder.stop();
        self.tell(stopped_at)
    }

    fn tell(&self, stopped_at: Duration) -> Result<File, HandoverError> {
        let Some(identity) = &self.core.identity else {
            return Err(bad("there are no keys"));
        };
        let shared = &identity.shared;
        let snapshot = shared.snapshot();
        let position = identity.store.position(SystemTime::now());
        let now = Instant::now();
        let mut head = Head::default();
        head.stopped_at = nanos(stopped_at);
        head.told_at = nanos(monotonic());
        head.public_key = identity.keys.wireguard_public().to_vec();
        head.epoch = position.epoch;
        head.revision = position.revision;
        head.generation = self.core.generation;
        head.counters = shared.counters.named(&shared.wg);
        let mut writer = Writer::begin(head, &shared.wg.tell_common(now))?;
        for peer in shared.wg.tell_peers(now) {
            writer.peer(peer)?;
        }
        let peers = snapshot.map.as_ref().map(|map| &map.peers);
        for flow in shared.flows.tell(now) {
            if let Some(peer) = peers.and_then(|peers| peers.get(&flow.node)) {
                writer.flow(&peer.node.node_id, &flow)?;
            }
        }
        for (rule, count) in snapshot.policy.counts().filter(|(_, count)| count.packets > 0) {
            writer.rule(Rule {
                id: rule.id.to_vec(),
                packets: count.packets,
                bytes: count.bytes,
            })?;
        }
        writer.seal()
    }

    fn send_state(&self, line: &Line, estate: &Estate, memory: &File) -> Result<(), HandoverError> {
        let Some(Stopped { interface, udp, dns }) = &self.stopped else {
            return Err(bad("it is not there"));
        };
        let mut with = vec![
            (Kind::Memory, memory.as_fd()),
            (Kind::Lock, estate.lock.as_fd()),
            (Kind::Tun, interface.as_fd()),
            (Kind::Udp, udp.as_fd()),
            (Kind::Control, estate.control.as_fd()),
            (Kind::Handover, estate.handover.as_fd()),
        ];
        if let Some((udp, tcp)) = dns {
            with.extend([(Kind::DnsUdp, udp.as_fd()), (Kind::DnsTcp, tcp.as_fd())]);
        }
        with.extend(estate.figures.iter().map(|figures| (Kind::Figures, figures.as_fd())));
        line.send(Note::new(Step::State), &with)
    }

    /// Ends this engine for good, as soon as the other one was told so. A note that the kernel does not take is never read:
    /// then everything goes on as before.
    fn commit(mut self, tell: impl FnOnce() -> Result<(), HandoverError>) -> Result<(), HandoverError> {
        tell()?;
        self.stopped = None;
        self.core.handed_over = true;
        if let Some(identity) = self.core.identity.take() {
            // Whoever holds the sessions still finds them gone, and their keys wiped.
            identity.shared.wg.set_peers(Instant::now(), Vec::new());
        }
        self.engine.end_streams();
        Ok(())
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let Some(Stopped { interface, udp, dns }) = self.stopped.take() else {
            return;
        };
        let Some(identity) = &self.core.identity else { return };
        match Forwarder::start(identity.shared.clone(), interface, udp, self.engine.on_failure()) {
            Ok(forwarder) => self.core.forwarder = Some(forwarder),
            Err(error) => (self.engine.on_failure())(format!("forwarding does not start again: {error}")),
        }
        self.engine.dns.inherit(dns);
        let step = apply::Step::default();
        self.engine.dns.follow(&self.core, &step, || self.engine.on_failure());
    }
}
