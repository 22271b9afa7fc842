//! Ending when asked.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// True once SIGTERM or SIGINT has come.
///
/// # Errors
/// When the system takes no handler.
pub fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}
