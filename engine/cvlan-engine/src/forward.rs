//! The data path: three threads and what they share.

mod control;
mod judge;
mod outgoing;
mod paths;
mod probe;
mod probes;
mod prompt;
mod rx;
mod search;
mod tx;

use crate::counters::Counters;
use crate::echo::Echo;
use crate::events::Events;
use crate::interface::Interface;
use arc_swap::ArcSwap;
use cvlan_filter::{Compiled, Flows};
use cvlan_io::{UdpPort, Wake};
use cvlan_map::Map;
use cvlan_route::{Table, TableId, Tables};
use cvlan_wg::{Output, PeerId, Wg};
use rand_core::{OsRng, RngCore};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::{io, thread};

pub use judge::{Admission, Law};
pub use paths::Found;
use paths::Paths;
use probes::News;
pub use search::State as PathState;

/// Messages that wait for the control thread; what is over is dropped and counted.
const CONTROL_QUEUE: usize = 1024;

/// Until settings say otherwise: every path carries it (RFC 8200, section 5).
const LEAST_MTU: u16 = 1280;

/// Conversations that are remembered; about 10 MB when all are in use.
const FLOWS: usize = 1 << 16;

/// What the data path knows of the map; replaced whole.
pub struct Snapshot {
    /// Where addresses lead, by membership.
    pub tables: Tables,
    /// The table of this interface and its tunnels.
    pub table_id: TableId,
    /// What may go there.
    pub policy: Compiled,
    /// The map that table and policy were made from; `None` before the first.
    pub map: Option<Arc<Map>>,
    /// Which of these decide.
    pub law: Law,
}

impl Snapshot {
    /// Nobody is reached and nothing is allowed.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            tables: Tables::default(),
            table_id: 0,
            policy: Compiled::nothing(0),
            map: None,
            law: Law::Map,
        }
    }

    /// Allowed IPs lead to peers and tell what may come from them.
    #[must_use]
    pub fn allowed_ips(table: Table) -> Self {
        let mut tables = Tables::default();
        tables.insert(TableId::default(), table);
        Self {
            tables,
            law: Law::AllowedIps,
            ..Self::empty()
        }
    }

    /// Where the addresses of this membership lead; `None` before the first map.
    #[must_use]
    pub fn table(&self) -> Option<&Table> {
        self.tables.get(self.table_id)
    }
}

/// What the threads and the control socket share; lives as long as the keys.
pub struct Shared {
    /// Sessions.
    pub wg: Arc<Wg>,
    /// Counts.
    pub counters: Arc<Counters>,
    /// Own pings.
    pub echo: Echo,
    /// Events.
    pub events: Events,
    /// What the policy allowed, so that answers pass.
    pub flows: Flows,
    paths: Paths,
    snapshot: ArcSwap<Snapshot>,
    admission: AtomicU8,
    mtu: AtomicU16,
}

impl Shared {
    /// Nothing is forwarded until a snapshot is installed.
    #[must_use]
    pub fn new(wg: Wg, echo: Echo, events: Events) -> Self {
        Self {
            wg: Arc::new(wg),
            counters: Arc::default(),
            echo,
            events,
            flows: Flows::new(FLOWS, [OsRng.next_u64(), OsRng.next_u64()]),
            paths: Paths::default(),
            snapshot: ArcSwap::from_pointee(Snapshot::empty()),
            admission: AtomicU8::new(Admission::Nothing.into()),
            mtu: AtomicU16::new(LEAST_MTU),
        }
    }

    /// What is in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts a map in force; flows of before are judged anew with their next packet.
    pub fn install(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }

    /// Says what may pass.
    pub fn admit(&self, admission: Admission) {
        self.admission.store(admission.into(), Ordering::Relaxed);
    }

    /// Says how long the packets of the interface may be, in bytes.
    pub fn limit_packets(&self, mtu: u16) {
        self.mtu.store(mtu, Ordering::Relaxed);
    }

    /// What is known of the path to a peer; `None` while nothing large went there.
    #[must_use]
    pub fn path(&self, peer: PeerId) -> Option<Found> {
        self.paths.found(peer)
    }

    /// Bytes of the largest packet that is to go to a peer.
    fn limit(&self, peer: PeerId) -> usize {
        let mtu = self.mtu();
        self.paths.limit(peer).map_or(mtu, |limit| limit.min(mtu))
    }

    fn mtu(&self) -> usize {
        self.mtu.load(Ordering::Relaxed).into()
    }

    /// What may pass.
    #[must_use]
    pub fn admission(&self) -> Admission {
        Admission::from(self.admission.load(Ordering::Relaxed))
    }
}

/// Work for the control thread.
enum Message {
    /// A handshake message, or something that looks like one.
    Handshake { from: SocketAddr, bytes: Vec<u8> },
    /// What the data path found while it opened packets.
    Outputs(Vec<Output>),
    /// A packet of our own.
    Inject(Vec<u8>),
    /// Of a path.
    Path(News),
    /// A timer was set that comes before the one that is waited for.
    Timer,
    /// End.
    Stop,
}

/// Puts packets of our own on their way, as if the interface had given them.
#[derive(Clone)]
pub struct Injector(SyncSender<Message>);

impl Injector {
    /// False when the queue is full or forwarding has ended.
    #[must_use]
    pub fn inject(&self, packet: Vec<u8>) -> bool {
        self.0.try_send(Message::Inject(packet)).is_ok()
    }
}

impl Line {
    /// False when the control thread has more to do than it can.
    fn tell(&self, news: News) -> bool {
        self.to_control.try_send(Message::Path(news)).is_ok()
    }
}

/// Running threads; [`Forwarder::stop`] ends them.
pub struct Forwarder {
    interface: Arc<Interface>,
    udp: Arc<UdpPort>,
    line: Arc<Line>,
    to_control: SyncSender<Message>,
    threads: Vec<JoinHandle<()>>,
    control: Option<JoinHandle<()>>,
}

/// What one run of the threads has in common.
struct Line {
    shared: Arc<Shared>,
    interface: Arc<Interface>,
    udp: Arc<UdpPort>,
    stopping: AtomicBool,
    to_control: SyncSender<Message>,
    /// Handshake messages on their way to the control thread.
    handshakes_waiting: AtomicUsize,
    wake_tx: Wake,
    wake_rx: Wake,
    /// Told when a thread ends unasked; the process must not go on half.
    on_failure: Box<dyn Fn(String) + Send + Sync>,
}

impl Forwarder {
    /// Starts forwarding between `interface` and `udp`. `on_failure` is called when a thread ends without having been asked.
    ///
    /// # Errors
    /// When the system gives no thread or descriptor.
    pub fn start(
        shared: Arc<Shared>,
        interface: Arc<Interface>,
        udp: Arc<UdpPort>,
        on_failure: Box<dyn Fn(String) + Send + Sync>,
    ) -> io::Result<Self> {
        let (to_control, messages) = sync_channel(CONTROL_QUEUE);
        let line = Arc::new(Line {
            to_control: to_control.clone(),
            shared,
            interface: interface.clone(),
            udp: udp.clone(),
            stopping: AtomicBool::new(false),
            handshakes_waiting: AtomicUsize::new(0),
            wake_tx: Wake::new()?,
            wake_rx: Wake::new()?,
            on_failure,
        });
        let mut forwarder = Self {
            interface,
            udp,
            line: line.clone(),
            to_control: to_control.clone(),
            threads: Vec::new(),
            control: None,
        };
        let threads = forwarder.spawn_all(&line, &to_control, messages);
        if let Err(error) = threads {
            forwarder.stop();
            return Err(error);
        }
        Ok(forwarder)
    }

    fn spawn_all(
        &mut self,
        line: &Arc<Line>,
        to_control: &SyncSender<Message>,
        messages: Receiver<Message>,
    ) -> io::Result<()> {
        let of_tx = line.clone();
        let tx = self.spawn("tx", move || tx::run(&of_tx))?;
        self.threads.push(tx);
        let (of_rx, control) = (line.clone(), to_control.clone());
        let rx = self.spawn("rx", move || rx::run(&of_rx, &control))?;
        self.threads.push(rx);
        let (of_control, own) = (line.clone(), to_control.clone());
        let control = self.spawn("control", move || {
            control::run(&of_control, &messages, own);
            Ok(())
        })?;
        self.control = Some(control);
        Ok(())
    }

    fn spawn(
        &self,
        name: &'static str,
        run: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let guard = Guard {
            line: self.line.clone(),
            name,
            error: None,
        };
        thread::Builder::new()
            .name(format!("cvlan-{name}"))
            .spawn(move || guard.ended_with(run()))
    }

    /// The interface.
    #[must_use]
    pub fn interface(&self) -> &Arc<Interface> {
        &self.interface
    }

    /// The socket.
    #[must_use]
    pub fn udp(&self) -> &Arc<UdpPort> {
        &self.udp
    }

    /// For packets of our own.
    #[must_use]
    pub fn injector(&self) -> Injector {
        Injector(self.to_control.clone())
    }

    /// Ends the threads once they have worked off what they had read; nothing is forwarded when this returns.
    pub fn stop(self) {
        self.line.stopping.store(true, Ordering::Relaxed);
        self.line.wake_tx.wake();
        self.line.wake_rx.wake();
        // A panic was told to `on_failure` by the guard.
        let join = |thread: JoinHandle<()>| drop(thread.join());
        self.threads.into_iter().for_each(join);
        // What the others found is worked off before. A full queue is waited for; the thread is gone when the other end is.
        let _ = self.to_control.send(Message::Stop);
        self.control.into_iter().for_each(join);
    }
}

/// Notices the end of a thread, also by a panic.
struct Guard {
    line: Arc<Line>,
    name: &'static str,
    error: Option<io::Error>,
}

impl Guard {
    fn ended_with(mut self, result: io::Result<()>) {
        self.error = result.err();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.line.stopping.load(Ordering::Relaxed) {
            return;
        }
        let why = self
            .error
            .take()
            .map_or_else(|| "it panicked".to_owned(), |error| error.to_string());
        (self.line.on_failure)(format!("the {} thread ended: {why}", self.name));
    }
}
