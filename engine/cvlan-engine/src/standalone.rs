//! `cvlan-engine wg`: an interface without a control plane, set by `wg` as with every WireGuard in user space.
//!
//! The packets take the way of a managed interface, and allowed IPs alone judge them. What is no well-formed IP packet, or
//! is routed by its source, is dropped here too.

mod background;
mod device;
mod peers;

use crate::interface::{Interface, make_tun};
use crate::uapi_socket::{FOLDER, UapiSocket};
use device::{Device, MTU};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

pub use background::{READY, start_in_background};

/// How often the MTU is looked at.
const TICK: Duration = Duration::from_secs(1);

/// Makes an interface and serves it until SIGTERM, SIGINT or until the interface is deleted. `ready` is called when `wg`
/// finds it.
///
/// # Errors
/// When interface, port or socket cannot be had, and when the data path breaks.
pub async fn run(
    name: &str,
    ready: impl FnOnce() -> io::Result<()>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Before anything else: a hangup of the terminal must not end what a daemon left running.
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move { while hangup.recv().await.is_some() {} });
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let tun = make_tun(name)?;
    cvlan_io::set_link_mtu(name, MTU)?;
    let (ended, mut broken) = mpsc::unbounded_channel();
    let device = Arc::new(Device::new(Interface::Tun(tun), ended)?);
    let socket = UapiSocket::bind(Path::new(FOLDER), name)?;
    let serving = tokio::spawn(socket.serve(device.clone()));
    ready()?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");
    let mut ticks = tokio::time::interval(TICK);
    let failure = loop {
        tokio::select! {
            why = broken.recv() => break why,
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            _ = ticks.tick() => {}
        }
        match cvlan_io::link_mtu(name) {
            Ok(mtu) => device.limit_packets(mtu),
            Err(_) => break None,
        }
    };
    serving.abort();
    let stopping = device.clone();
    let counters = tokio::task::spawn_blocking(move || stopping.stop()).await?;
    match failure.filter(|_| cvlan_io::link_mtu(name).is_ok()) {
        Some(why) => Err(why.into()),
        None => {
            tracing::info!(counters, "stopped");
            Ok(())
        }
    }
}
