//! A node without an interface of its own: the network stack on a thread, and what leads into it on the host.

mod access;
mod config;
mod forward;
mod net;
mod port;
mod proxy;

pub use access::Refused;
pub use config::{Forward, Offers};
pub use port::Port;

use crate::failure::Failure;
use crate::forward::Shared;
use access::Host;
use config::Protocol;
use net::Net;
use std::future::Future;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::{io, pin::Pin};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle as Task, LocalSet, spawn_local};

/// One thing that is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Service {
    Proxy(SocketAddr),
    Forward(Forward),
}

/// A socket of the host that a service needs.
enum HostSocket {
    Tcp(TcpListener),
    Udp(UdpSocket),
    /// It listens in the overlay.
    None,
}

/// Offers whose sockets are bound.
pub struct Bound {
    services: Vec<Service>,
    /// For those that were not offered before.
    sockets: Vec<(Service, HostSocket)>,
}

struct Declaration {
    mtu: u16,
    bound: Bound,
}

/// The running stack; [`Userspace::stop`] ends it.
pub struct Userspace {
    port: Arc<Port>,
    declarations: mpsc::UnboundedSender<Declaration>,
    thread: JoinHandle<()>,
    services: Vec<Service>,
}

impl Userspace {
    /// Starts the stack behind `port`. `on_failure` is called when its thread ends without having been asked.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        port: Arc<Port>,
        shared: Arc<Shared>,
        mtu: u16,
        on_failure: Box<dyn Fn(String) + Send + Sync>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (declarations, declared) = mpsc::unbounded_channel();
        let of_thread = port.clone();
        let guard = Guard {
            on_failure,
            ended: false,
        };
        let thread = thread::Builder::new().name("cvlan-stack".to_owned()).spawn(move || {
            let mut guard = guard;
            LocalSet::new().block_on(&runtime, run(of_thread, shared, mtu, declared));
            guard.ended = true;
        })?;
        Ok(Self {
            port,
            declarations,
            thread,
            services: Vec::new(),
        })
    }

    /// The data path's end of it.
    pub fn port(&self) -> &Arc<Port> {
        &self.port
    }

    /// Offers these and nothing else. What was offered before goes on, with its connections.
    pub fn offer(&mut self, mtu: u16, bound: Bound) {
        self.services.clone_from(&bound.services);
        // A thread that ended told so.
        let _ = self.declarations.send(Declaration { mtu, bound });
    }

    /// Ends the stack and everything that leads into it.
    pub fn stop(self) {
        drop(self.declarations);
        // A panic was told to `on_failure` by the guard.
        let _ = self.thread.join();
    }
}

/// Binds the sockets of what `running` does not offer yet.
///
/// # Errors
/// Names the field whose port cannot be had.
pub fn bind(offers: &Offers, running: Option<&Userspace>) -> Result<Bound, Failure> {
    let former = running.map_or(&[][..], |running| &running.services);
    let proxy = offers
        .proxy
        .map(|at| ("settings.proxy_listen".to_owned(), Service::Proxy(at)));
    let named = |(index, forward): (usize, &Forward)| {
        (
            format!("settings.forwards[{index}].listen"),
            Service::Forward(forward.clone()),
        )
    };
    let wanted = proxy.into_iter().chain(offers.forwards.iter().enumerate().map(named));
    let mut bound = Bound {
        services: Vec::new(),
        sockets: Vec::new(),
    };
    for (field, service) in wanted {
        if !former.contains(&service) {
            let socket = bind_one(&service).map_err(|error| Failure {
                field,
                ..Failure::host(
                    "NO_LISTENER",
                    format!("{}: {error}", service.listens()),
                    "use another port, or end the process that holds this one",
                )
            })?;
            bound.sockets.push((service.clone(), socket));
        }
        bound.services.push(service);
    }
    Ok(bound)
}

fn bind_one(service: &Service) -> io::Result<HostSocket> {
    match service {
        Service::Forward(forward) if !forward.listens_on_host() => Ok(HostSocket::None),
        Service::Forward(forward) if forward.is_udp() => {
            let socket = UdpSocket::bind(forward.listen)?;
            socket.set_nonblocking(true)?;
            Ok(HostSocket::Udp(socket))
        }
        Service::Proxy(_) | Service::Forward(_) => {
            let listener = TcpListener::bind(service.listens())?;
            listener.set_nonblocking(true)?;
            Ok(HostSocket::Tcp(listener))
        }
    }
}

impl Service {
    fn listens(&self) -> SocketAddr {
        match self {
            Self::Proxy(at) => *at,
            Self::Forward(forward) => forward.listen,
        }
    }
}

/// The body of the thread: ends when nobody can declare anything any more.
async fn run(port: Arc<Port>, shared: Arc<Shared>, mtu: u16, mut declared: mpsc::UnboundedReceiver<Declaration>) {
    let net = Net::new(port, shared, mtu);
    let driver = net.clone();
    let driver = spawn_local(async move { driver.run().await });
    let mut running: Vec<(Service, Task<()>)> = Vec::new();
    while let Some(Declaration { mtu, bound }) = declared.recv().await {
        net.set_mtu(mtu);
        let mut kept = Vec::new();
        for (service, task) in running {
            if bound.services.contains(&service) {
                kept.push((service, task));
            } else {
                task.abort();
                // Its sockets are closed when this returns; cancelled is what it was to be.
                let _ = task.await;
            }
        }
        running = kept;
        for (service, socket) in bound.sockets {
            match task(&net, &service, socket) {
                Ok(task) => running.push((service, spawn_local(task))),
                Err(error) => tracing::error!(%error, listen = %service.listens(), "not offered"),
            }
        }
    }
    driver.abort();
}

/// Runs a service until dropped.
fn task(net: &Net, service: &Service, socket: HostSocket) -> io::Result<Pin<Box<dyn Future<Output = ()>>>> {
    let net = net.clone();
    let taken = || io::Error::from(io::ErrorKind::AddrInUse);
    Ok(match (service, socket) {
        (Service::Proxy(_), HostSocket::Tcp(listener)) => {
            Box::pin(proxy::serve(net, tokio::net::TcpListener::from_std(listener)?))
        }
        (Service::Forward(into), HostSocket::Tcp(listener)) => {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            Box::pin(forward::tcp_into(net, listener, into.target.clone(), into.target_port))
        }
        (Service::Forward(into), HostSocket::Udp(socket)) => {
            let socket = tokio::net::UdpSocket::from_std(socket)?;
            Box::pin(forward::udp_into(net, socket, into.target.clone(), into.target_port))
        }
        (Service::Forward(from), HostSocket::None) => {
            let Host::Address(address) = &from.target else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            let (target, port) = (SocketAddr::new(*address, from.target_port), from.listen.port());
            match from.protocol {
                Protocol::Tcp => {
                    let listener = net.listen(port).ok_or_else(taken)?;
                    Box::pin(forward::tcp_from(net, listener, target))
                }
                Protocol::Udp => {
                    let bound = net.bind_udp(port).ok_or_else(taken)?;
                    Box::pin(forward::udp_from(net, bound, target))
                }
            }
        }
        (Service::Proxy(_), HostSocket::Udp(_) | HostSocket::None) => return Err(io::ErrorKind::InvalidInput.into()),
    })
}

/// Notices the end of the thread, also by a panic.
struct Guard {
    on_failure: Box<dyn Fn(String) + Send + Sync>,
    ended: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.ended {
            (self.on_failure)("the stack thread ended: it panicked".to_owned());
        }
    }
}
