//! Logs: JSON lines on standard error. Nothing per packet, no address above debug, never a key.

use crate::spans::{SpanLayer, Spans};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The WireGuard library tells timeouts that are everyday life as errors; its events reach status and counters instead.
const DEFAULT: &str = "info,boringtun=off";

/// Starts logging for the process, and making spans of what belongs to a trace.
///
/// # Errors
/// When logging was started before.
pub fn start(spans: Spans) -> Result<(), TryInitError> {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(EnvFilter::new(DEFAULT))
        .with(lines)
        .with(SpanLayer(spans))
        .try_init()
}
