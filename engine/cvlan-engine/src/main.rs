//! `cvlan-engine`: holds the keys and the map of a node and forwards its packets.

use clap::{Parser, Subcommand};
use cvlan_engine::handover::give::{Estate, Outcome};
use cvlan_engine::{Engine, Spans, StateDir, handover, log, make_tun, metrics, server, shown, standalone};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, mpsc};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Bytes that `evaluate` reads at most.
const MAX_INPUT: u64 = 64 << 20;
/// How often the age of the map is looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long word of a router that refuses a packet may take.
const PATH_PATIENCE: Duration = Duration::from_millis(500);
/// How long calls under way may take to end.
const DRAIN: Duration = Duration::from_secs(1);

#[derive(Parser)]
#[command(name = "cvlan-engine", about = "Forwards the packets of one node")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs until SIGTERM, SIGINT or the Shutdown call.
    Run {
        /// Folder for keys, map, settings and control socket; made when it is not there, must be 0700.
        #[arg(long, value_name = "DIR")]
        state: PathBuf,
        /// Control socket; engine.sock in the state folder when not given. Its folder must admit nobody else.
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
        /// Show figures to Prometheus on this address; a port alone is one of 127.0.0.1. Nowhere when not given.
        #[arg(long, value_name = "ADDRESS:PORT", value_parser = metrics::address)]
        metrics: Option<SocketAddr>,
        /// Follow the engine that runs on the folder: with its sessions and flows where both can hand over, else by an
        /// ordinary restart. Without one it is an ordinary start.
        #[arg(long)]
        take_over: bool,
    },
    /// Serves a WireGuard interface that `wg` sets, in place of wireguard-go; goes on in the background unless told otherwise.
    Wg {
        /// Stay in the foreground, also by WG_PROCESS_FOREGROUND=1.
        #[arg(short, long)]
        foreground: bool,
        /// Say on standard output that `wg` finds the interface, or why it never will.
        #[arg(long, hide = true)]
        tell_ready: bool,
        /// Name of the interface to make.
        interface: String,
    },
    /// Judges packets without interfaces or keys: EvaluateRequest on standard input, EvaluateResponse on standard output.
    Evaluate,
    /// Prints the bytes of the largest IP packet that the way to an address takes, after packets of a size that no router
    /// may cut up were sent there.
    PathMtu {
        /// Where a tunnel would go.
        #[arg(value_name = "ADDRESS:PORT")]
        to: SocketAddr,
        /// Bytes of the packets, IP header included.
        #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(68..))]
        bytes: u16,
    },
    /// Prints the version.
    Version {
        /// In its place the SHA-256 of this executable, which tells builds of one version apart.
        #[arg(long)]
        build: bool,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse_from(arguments(std::env::args_os())).command {
        Command::Wg {
            foreground,
            tell_ready,
            interface,
        } => wg(&interface, foreground, tell_ready),
        Command::Run {
            state,
            socket,
            metrics,
            take_over,
        } => run(&state, socket, metrics, take_over),
        Command::Evaluate => evaluate(),
        Command::PathMtu { to, bytes } => path_mtu(to, bytes),
        Command::Version { build: true } => print(format!("{}\n", cvlan_engine::build()).as_bytes()),
        Command::Version { build: false } => print(concat!(env!("CARGO_PKG_VERSION"), "\n").as_bytes()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when even this cannot be written.
            let _ = writeln!(std::io::stderr(), "cvlan-engine: {error}");
            ExitCode::FAILURE
        }
    }
}

/// By the name `cvlan-wg` the program is its command `wg`: `wg-quick` has one word for it
/// (WG_QUICK_USERSPACE_IMPLEMENTATION).
fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<_> = given.collect();
    let named = |name: &OsString| Path::new(name).file_name() == Some(OsStr::new("cvlan-wg"));
    if arguments.first().is_some_and(named) {
        arguments.insert(1, "wg".into());
    }
    arguments
}

fn wg(interface: &str, foreground: bool, tell_ready: bool) -> Result<(), AnyError> {
    if !foreground && std::env::var_os("WG_PROCESS_FOREGROUND").is_none_or(|value| value != "1") {
        return Ok(standalone::start_in_background(&std::env::current_exe()?, interface)?);
    }
    let say = |text: &str| if tell_ready { print(text.as_bytes()) } else { Ok(()) };
    log::start(Spans::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .build()?;
    let served = runtime.block_on(standalone::run(interface, || {
        say(standalone::READY).map_err(std::io::Error::other)
    }));
    runtime.shutdown_timeout(DRAIN);
    if let Err(error) = &served {
        say(&error.to_string())?;
    }
    served
}

fn print(bytes: &[u8]) -> Result<(), AnyError> {
    Ok(std::io::stdout().lock().write_all(bytes)?)
}

fn evaluate() -> Result<(), AnyError> {
    let mut input = Vec::new();
    std::io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut input)?;
    if input.len() as u64 > MAX_INPUT {
        return Err(format!("the input is longer than {MAX_INPUT} bytes: judge fewer packets at a time").into());
    }
    print(&cvlan_engine::evaluate(&input)?)
}

fn path_mtu(to: SocketAddr, bytes: u16) -> Result<(), AnyError> {
    let mtu = cvlan_io::path_mtu(to, bytes.into(), PATH_PATIENCE)?;
    print(format!("{mtu}\n").as_bytes())
}

fn run(state: &Path, socket: Option<PathBuf>, figures: Option<SocketAddr>, take_over: bool) -> Result<(), AnyError> {
    let spans = Spans::default();
    log::start(spans.clone())?;
    // One thread: it serves a socket; disk and signatures go to the pool, packets have threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()?;
    let socket = socket.unwrap_or_else(|| state.join("engine.sock"));
    let ended = runtime.block_on(serve(state, &socket, figures, take_over, spans));
    runtime.shutdown_timeout(DRAIN);
    // Until here the process that took over waits with what there may be only one of.
    ended.map(drop)
}

/// What an engine begins with.
struct Beginning {
    engine: Arc<Engine>,
    lock: File,
    control: UnixListener,
    handover: UnixListener,
    figures: Option<TcpListener>,
    /// The process before, while it ends.
    former: Option<UnixStream>,
}

/// Alone on the folder.
fn begin_alone(
    state: &Path,
    socket: &Path,
    figures: Option<SocketAddr>,
    spans: Spans,
    ended: UnboundedSender<String>,
) -> Result<Beginning, AnyError> {
    let lock = StateDir::open(state)?.hold()?;
    let (control, handover) = (server::bind(socket)?, server::bind(&handover::socket_path(state))?);
    Ok(Beginning {
        lock,
        control,
        handover,
        figures: figures.and_then(listen),
        former: None,
        engine: Engine::open(state, Box::new(make_tun), spans, ended)?,
    })
}

/// From what another engine hands over.
fn begin_facing(
    former: handover::take::Former,
    state: &Path,
    socket: &Path,
    figures: Option<SocketAddr>,
    spans: Spans,
    ended: UnboundedSender<String>,
) -> Result<Beginning, AnyError> {
    let engine = Engine::new(state, Box::new(make_tun), spans, ended)?;
    let inherited = engine.succeed(former)?;
    let is_at = |control: &UnixListener| control.local_addr().is_ok_and(|at| at.as_pathname() == Some(socket));
    let shown = |listener: &TcpListener| figures.is_some() && listener.local_addr().ok() == figures;
    Ok(Beginning {
        engine,
        lock: inherited.lock,
        control: match Some(inherited.control).filter(is_at) {
            Some(control) => control,
            None => server::bind(socket)?,
        },
        handover: inherited.handover,
        figures: inherited.figures.filter(shown).or_else(|| figures.and_then(listen)),
        former: Some(inherited.former),
    })
}

/// Packets do not wait for somebody who counts them.
fn listen(at: SocketAddr) -> Option<TcpListener> {
    let refused = |error| tracing::error!(%at, %error, "figures are not shown: choose another address with --metrics");
    metrics::listen(at).map_err(refused).ok()
}

/// Returns what the process that took over waits for the end of.
async fn serve(
    state: &Path,
    socket: &Path,
    figures: Option<SocketAddr>,
    take_over: bool,
    spans: Spans,
) -> Result<Option<UnixStream>, AnyError> {
    // Before anything else: a hangup of the terminal must not end what a daemon left running.
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move { while hangup.recv().await.is_some() {} });
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (ended, mut broken) = mpsc::unbounded_channel();
    let found = match take_over {
        true => handover::take::begin(state).await?,
        false => handover::take::Beginning::Alone(None),
    };
    let beginning = match found {
        handover::take::Beginning::Facing(former) => begin_facing(former, state, socket, figures, spans, ended)?,
        handover::take::Beginning::Alone(takeover) => {
            let beginning = begin_alone(state, socket, figures, spans, ended)?;
            takeover
                .into_iter()
                .for_each(|takeover| beginning.engine.came_by(takeover));
            beginning
        }
    };
    let engine = beginning.engine;
    tokio::spawn(look_at_the_clock(engine.clone()));
    tokio::spawn(show(engine.clone(), beginning.former));
    let estate = Estate {
        lock: beginning.lock,
        control: beginning.control.try_clone()?.into(),
        handover: beginning.handover.try_clone()?.into(),
        figures: beginning
            .figures
            .as_ref()
            .map(TcpListener::try_clone)
            .transpose()?
            .map(Into::into),
    };
    if let Some(listener) = beginning.figures {
        metrics::serve(engine.clone(), listener)?;
    }
    let successor = handover::give::wait(engine.clone(), beginning.handover, estate);
    tracing::info!(
        instance_id = engine.instance_id(),
        version = env!("CARGO_PKG_VERSION"),
        "started"
    );

    let asked = Arc::new(Notify::new());
    let stop = Arc::new(Notify::new());
    let stopped = stop.clone();
    let serving = server::serve(engine.clone(), beginning.control, asked.clone(), async move {
        stopped.notified().await
    });
    tokio::pin!(serving);
    let end = tokio::select! {
        served = &mut serving => End::Broken(served.err().map_or("the control socket closed".to_owned(), |error| error.to_string())),
        Some(why) = broken.recv() => End::Broken(why),
        _ = terminate.recv() => End::Asked,
        _ = interrupt.recv() => End::Asked,
        () = asked.notified() => End::Asked,
        outcome = successor => match outcome {
            Ok(Outcome::Left(successor)) => End::Left(successor),
            Ok(Outcome::Given(successor)) => End::Given(successor),
            Err(error) => End::Broken(format!("nobody can take over: {error}")),
        },
    };
    if !matches!(end, End::Given(_)) {
        let stopping = engine.clone();
        tokio::task::spawn_blocking(move || stopping.shut_down()).await?;
    }
    stop.notify_one();
    // A client that does not react is cut when the time is over.
    let _ = tokio::time::timeout(DRAIN, &mut serving).await;
    if let End::Given(successor) = end {
        // The sockets are the other one's now.
        return Ok(Some(successor));
    }
    let _ = std::fs::remove_file(socket);
    let _ = std::fs::remove_file(handover::socket_path(state));
    tracing::info!("stopped");
    match end {
        End::Broken(why) => Err(why.into()),
        End::Left(successor) => Ok(Some(successor)),
        End::Asked | End::Given(_) => Ok(None),
    }
}

/// Why the process ends.
enum End {
    Asked,
    Broken(String),
    Left(UnixStream),
    Given(UnixStream),
}

/// There is one socket of an interface; the process before lets go of it at its end.
async fn show(engine: Arc<Engine>, former: Option<UnixStream>) {
    if let Some(former) = former
        && let Err(error) = handover::take::gone(former).await
    {
        tracing::debug!(%error, "the end of the former engine is not waited for");
    }
    shown::follow(engine, shown::FOLDER.into()).await;
}

async fn look_at_the_clock(engine: Arc<Engine>) {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        let engine = engine.clone();
        if tokio::task::spawn_blocking(move || engine.tick()).await.is_err() {
            return;
        }
    }
}
