//! Writes the Rust types of the contract.
//!
//! Run in the repository root, with buf from `node_modules/.bin` on the path:
//!
//! ```text
//! buf build -o - | cargo run --quiet --locked --manifest-path engine/gen/Cargo.toml -- gen/rust/src
//! ```
//!
//! The output depends on the image alone, so a check may write to another folder and compare.

use std::error::Error;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs, io};

use prost::Message;
use prost_types::FileDescriptorSet;

/// Packages that the engine speaks and those that these refer to by type.
/// `google.protobuf` stands here only to be resolved; its types come from prost-types.
const PACKAGES: [&str; 4] = [
    "cloudvlan.engine.v1",
    "cloudvlan.entity.v1",
    "cloudvlan.options.v1",
    "google.protobuf",
];

const HEADER: &str = "\
//! Types of protodefs, written by engine/gen. Do not edit.
#![allow(missing_docs, clippy::all, clippy::pedantic, rustdoc::all)]

";

fn main() -> ExitCode {
    match generate() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The one place of this tool that speaks to a terminal.
            #[allow(clippy::print_stderr)]
            {
                eprintln!("cvlan-codegen: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

fn generate() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(
        env::args_os()
            .nth(1)
            .ok_or("usage: cvlan-codegen OUT_DIR < image.binpb")?,
    );
    let mut image = Vec::new();
    io::stdin().lock().read_to_end(&mut image)?;

    let mut set = FileDescriptorSet::decode(image.as_slice())?;
    set.file.retain(|file| PACKAGES.contains(&file.package()));
    if !set.file.iter().any(|file| file.package() == PACKAGES[0]) {
        return Err(
            "the image on standard input holds no package of the engine; was buf run in the repository root?".into(),
        );
    }

    fs::create_dir_all(&out)?;
    let mut config = prost_build::Config::new();
    config.btree_map(["."]);
    tonic_prost_build::configure()
        .out_dir(&out)
        .include_file("lib.rs")
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(set, config)?;

    let library = out.join("lib.rs");
    let modules = fs::read_to_string(&library)?;
    fs::write(&library, format!("{HEADER}{modules}"))?;
    Ok(())
}
