//! `cvlan-lab`: what the lab needs beside namespaces.

mod capture;
mod decode;

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
}

fn main() -> ExitCode {
    let Command::Capture(options) = Arguments::parse().command;
    match capture::run(&options, &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when even this cannot be written.
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("cvlan-lab: {error}\n"));
            ExitCode::FAILURE
        }
    }
}
