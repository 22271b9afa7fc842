//! The thread that answers: sockets on one side, the resolver on the other.

use super::ask;
use super::connection::Connections;
use cvlan_dns::{AskId, Client, Counters, MAX_UDP, Output, Resolver, Zone};
use rand_core::{OsRng, RngCore};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{io, panic};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

/// Messages between the sockets and the resolver.
const QUEUE: usize = 64;
/// How long an error of a listening socket, such as no descriptors left, is waited out.
const BREATH: Duration = Duration::from_millis(50);

/// What is answered and who is asked.
#[derive(Clone)]
pub struct Plan {
    /// Names of the overlay.
    pub zone: Arc<Zone>,
    /// Resolvers of the host.
    pub fallback: Vec<SocketAddr>,
}

/// What the sockets tell the resolver.
pub enum Event {
    /// A query by a connection.
    Query { connection: u64, bytes: Vec<u8> },
    /// A connection ended.
    Closed { connection: u64 },
    /// A message to the port of a question.
    Answer { ask: AskId, bytes: Vec<u8> },
    /// Nothing came in time.
    Failed { ask: AskId },
}

/// A thread that answers; [`Running::stop`] ends it.
pub struct Running {
    listen: SocketAddr,
    /// None tells the thread to end.
    plan: watch::Sender<Option<Plan>>,
    thread: JoinHandle<()>,
    /// The same sockets that the thread answers on.
    sockets: super::Sockets,
}

impl Running {
    /// Answers on these sockets. `on_failure` is called when the thread ends unasked.
    pub fn start(
        (udp, tcp): (StdUdpSocket, StdTcpListener),
        plan: Plan,
        counters: Arc<Counters>,
        on_failure: Box<dyn Fn(String) + Send + Sync>,
    ) -> io::Result<Self> {
        let listen = udp.local_addr()?;
        let sockets = (udp.try_clone()?, tcp.try_clone()?);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let (plans, plan) = watch::channel(Some(plan));
        let run = move || {
            let served = panic::catch_unwind(panic::AssertUnwindSafe(|| {
                runtime.block_on(async { Server::new(udp, tcp, listen, counters)?.run(plan).await })
            }));
            match served {
                Ok(Ok(())) => {}
                Ok(Err(error)) => on_failure(format!("the dns thread ended: {error}")),
                Err(_) => on_failure("the dns thread ended: it panicked".to_owned()),
            }
        };
        let thread = thread::Builder::new().name("cvlan-dns".to_owned()).spawn(run)?;
        Ok(Self {
            listen,
            plan: plans,
            thread,
            sockets,
        })
    }

    /// Where.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Answers by another plan when it is another one.
    pub fn adopt(&self, plan: Plan, names_changed: bool) {
        self.plan.send_if_modified(|current| {
            let same = current
                .as_ref()
                .is_some_and(|current| current.fallback == plan.fallback);
            if same && !names_changed {
                return false;
            }
            *current = Some(plan);
            true
        });
    }

    /// The port is free when this returns.
    pub fn stop(self) {
        drop(self.pause());
    }

    /// Nobody answers when this returns; the sockets stay.
    pub fn pause(self) -> super::Sockets {
        self.plan.send_replace(None);
        // A panic was told to `on_failure`.
        let _ = self.thread.join();
        self.sockets
    }
}

struct Server {
    udp: UdpSocket,
    tcp: TcpListener,
    resolver: Resolver,
    asks: HashMap<AskId, AbortHandle>,
    connections: Connections,
    events: mpsc::Sender<Event>,
    inbox: mpsc::Receiver<Event>,
}

impl Server {
    fn new(udp: StdUdpSocket, tcp: StdTcpListener, own: SocketAddr, counters: Arc<Counters>) -> io::Result<Self> {
        let (events, inbox) = mpsc::channel(QUEUE);
        let random = Box::new(|| {
            let mut bytes = [0; 2];
            OsRng.fill_bytes(&mut bytes);
            u16::from_be_bytes(bytes)
        });
        Ok(Self {
            udp: UdpSocket::from_std(udp)?,
            tcp: TcpListener::from_std(tcp)?,
            resolver: Resolver::new(own, counters, random),
            asks: HashMap::new(),
            connections: Connections::default(),
            events,
            inbox,
        })
    }

    async fn run(mut self, mut plans: watch::Receiver<Option<Plan>>) -> io::Result<()> {
        let mut room = vec![0; MAX_UDP];
        plans.mark_changed();
        loop {
            let mut outputs = Vec::new();
            tokio::select! {
                changed = plans.changed() => {
                    let plan = plans.borrow_and_update().clone();
                    let Some(plan) = plan.filter(|_| changed.is_ok()) else {
                        self.resolver.close(&mut outputs);
                        self.carry_out(outputs).await;
                        return Ok(());
                    };
                    self.resolver.install(Some(plan.zone), plan.fallback);
                }
                received = self.udp.recv_from(&mut room) => match received {
                    // The kernel gives a loopback address nothing from outside; this holds when it is told otherwise.
                    Ok((length, from)) if from.ip().is_loopback() => {
                        let bytes = room.get(..length).unwrap_or_default();
                        self.resolver.query(Instant::now(), Client::Udp(from), bytes, &mut outputs);
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(BREATH).await,
                },
                accepted = self.tcp.accept() => match accepted {
                    Ok((stream, from)) if from.ip().is_loopback() => self.connections.open(stream, &self.events),
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(BREATH).await,
                },
                Some(event) = self.inbox.recv() => self.hear(event, &mut outputs),
            }
            self.carry_out(outputs).await;
        }
    }

    fn hear(&mut self, event: Event, outputs: &mut Vec<Output>) {
        let now = Instant::now();
        match event {
            Event::Query { connection, bytes } => {
                self.resolver.query(now, Client::Tcp(connection), &bytes, outputs);
            }
            Event::Closed { connection } => self.connections.close(connection),
            Event::Answer { ask, bytes } => {
                if self.resolver.answer(now, ask, &bytes, outputs) {
                    self.forget(ask);
                }
            }
            Event::Failed { ask } => {
                self.forget(ask);
                self.resolver.failed(now, ask, outputs);
            }
        }
    }

    fn forget(&mut self, ask: AskId) {
        if let Some(task) = self.asks.remove(&ask) {
            task.abort();
        }
    }

    async fn carry_out(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Answer {
                    to: Client::Udp(to),
                    bytes,
                } => {
                    // An asker that is gone, or a full buffer: it asks again if it still wants to know.
                    let _ = self.udp.send_to(&bytes, to).await;
                }
                Output::Answer {
                    to: Client::Tcp(connection),
                    bytes,
                } => self.connections.send(connection, bytes),
                Output::Ask {
                    ask,
                    upstream,
                    transport,
                    bytes,
                } => {
                    let task = tokio::spawn(ask::run(ask, upstream, transport, bytes, self.events.clone()));
                    self.asks.insert(ask, task.abort_handle());
                }
                Output::Forget(ask) => self.forget(ask),
            }
        }
    }
}
