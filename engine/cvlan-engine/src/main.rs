//! `cvlan-engine`: holds the keys and the map of a node and forwards its packets.

use clap::{Parser, Subcommand};
use cvlan_engine::{Engine, Spans, log, make_tun, metrics, server, shown, standalone};
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
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
    Version,
}

fn main() -> ExitCode {
    let done = match Arguments::parse_from(arguments(std::env::args_os())).command {
        Command::Wg {
            foreground,
            tell_ready,
            interface,
        } => wg(&interface, foreground, tell_ready),
        Command::Run { state, socket, metrics } => run(&state, socket, metrics),
        Command::Evaluate => evaluate(),
        Command::PathMtu { to, bytes } => path_mtu(to, bytes),
        Command::Version => print(concat!(env!("CARGO_PKG_VERSION"), "\n").as_bytes()),
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

fn run(state: &Path, socket: Option<PathBuf>, figures: Option<SocketAddr>) -> Result<(), AnyError> {
    let spans = Spans::default();
    log::start(spans.clone())?;
    // One thread: it serves a socket; disk and signatures go to the pool, packets have threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()?;
    let socket = socket.unwrap_or_else(|| state.join("engine.sock"));
    let ended = runtime.block_on(serve(state, &socket, figures, spans));
    runtime.shutdown_timeout(DRAIN);
    ended
}

async fn serve(state: &Path, socket: &Path, figures: Option<SocketAddr>, spans: Spans) -> Result<(), AnyError> {
    // Before anything else: a hangup of the terminal must not end what a daemon left running.
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move { while hangup.recv().await.is_some() {} });
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let _held = cvlan_engine::StateDir::open(state)?.hold()?;
    let listener = server::bind(socket)?;
    let (ended, mut broken) = mpsc::unbounded_channel();
    let engine = Engine::open(state, Box::new(make_tun), spans, ended)?;
    tokio::spawn(look_at_the_clock(engine.clone()));
    tokio::spawn(shown::follow(engine.clone(), shown::FOLDER.into()));
    if let Some(at) = figures {
        // Packets do not wait for somebody who counts them.
        if let Err(error) = metrics::serve(engine.clone(), at).await {
            tracing::error!(%at, %error, "figures are not shown: choose another address with --metrics");
        }
    }
    tracing::info!(
        instance_id = engine.instance_id(),
        version = env!("CARGO_PKG_VERSION"),
        "started"
    );

    let asked = Arc::new(Notify::new());
    let stop = Arc::new(Notify::new());
    let stopped = stop.clone();
    let serving = server::serve(engine.clone(), listener, asked.clone(), async move {
        stopped.notified().await
    });
    tokio::pin!(serving);
    let failure = tokio::select! {
        served = &mut serving => Some(served.err().map_or("the control socket closed".to_owned(), |error| error.to_string())),
        why = broken.recv() => why,
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        () = asked.notified() => None,
    };
    let stopping = engine.clone();
    tokio::task::spawn_blocking(move || stopping.shut_down()).await?;
    stop.notify_one();
    // A client that does not react is cut when the time is over.
    let _ = tokio::time::timeout(DRAIN, &mut serving).await;
    let _ = std::fs::remove_file(socket);
    tracing::info!("stopped");
    failure.map_or(Ok(()), |why| Err(why.into()))
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
