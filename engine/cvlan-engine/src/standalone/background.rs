//! Going on in the background, as `wg-quick` expects it of a WireGuard in user space.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the process in the background writes on standard output once `wg` finds the interface. Anything else is why it ended.
pub const READY: &str = "ready\n";

/// Bytes of the reason that are read.
const MAX_REASON: u64 = 4096;

/// Starts `program wg --foreground --tell-ready NAME` in a process group of its own and waits until it serves.
///
/// # Errors
/// Why it does not.
pub fn start_in_background(program: &Path, name: &str) -> io::Result<()> {
    let mut child = Command::new(program)
        .args(["wg", "--foreground", "--tell-ready", "--", name])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let said = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut said = BufReader::new(said.take(MAX_REASON));
    let mut line = String::new();
    said.read_line(&mut line)?;
    if line == READY {
        return Ok(());
    }
    said.read_to_string(&mut line)?;
    child.wait()?;
    Err(io::Error::other(line.trim().to_owned()))
}
