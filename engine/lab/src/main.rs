//! `cvlan-lab`: what the lab needs beside namespaces.

mod aead;
mod blast;
mod capture;
mod decode;
mod delay_queue;
mod fate;
mod forward;
mod frames;
mod handshakes;
mod key;
mod spoof;
mod stop;
mod wire;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cvlan-lab", version, about = "Tools of the network lab")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints the packets of one interface as JSON lines, then a summary; needs CAP_NET_RAW.
    Capture(capture::Options),
    /// Sends datagrams at a fixed rate.
    Blast(blast::BlastOptions),
    /// Counts datagrams until SIGTERM.
    Sink(blast::SinkOptions),
    /// Begins WireGuard handshakes at a fixed rate and answers what comes back.
    Handshakes(handshakes::Options),
    /// Prints the public keys of those who begin handshakes.
    Peers(handshakes::PeersOptions),
    /// Sends handshake initiations of nobody, each from another address.
    Spoof(spoof::Options),
    /// Forwards between a TUN interface and one peer without a cipher, by the same I/O as the engine; needs CAP_NET_ADMIN.
    Forward(forward::Options),
    /// Joins two interfaces by a wire that delays, loses and doubles packets, until SIGTERM; needs CAP_NET_ADMIN.
    Wire(wire::Options),
    /// Seals packets in memory on one core and prints bytes a second as JSON.
    Aead(aead::Options),
}

fn main() -> ExitCode {
    let out = &mut std::io::stdout().lock();
    let done = match Arguments::parse().command {
        Command::Capture(options) => capture::run(&options, out),
        Command::Blast(options) => blast::blast(&options, out),
        Command::Sink(options) => blast::sink(&options, out),
        Command::Handshakes(options) => handshakes::run(&options, out),
        Command::Peers(options) => handshakes::peers(&options, out),
        Command::Spoof(options) => spoof::run(&options, out),
        Command::Forward(options) => forward::run(&options, out),
        Command::Wire(options) => wire::run(&options, out),
        Command::Aead(options) => aead::run(&options, out),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when even this cannot be written.
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("cvlan-lab: {error}\n"));
            ExitCode::FAILURE
        }
    }
}
