//! Spans of calls whose caller wants them: told by `traceparent` (W3C Trace Context), made of `tracing` spans, handed to
//! whoever watches. Calls without a sampled parent make none.

use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use rand_core::{OsRng, RngCore};
use std::fmt::{self, Debug, Display};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use tokio::sync::broadcast;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Spans that a slow watcher may be behind before it loses the oldest.
const KEPT: usize = 256;
/// Bytes of one attribute.
const MAX_VALUE: usize = 256;
/// Attributes of one span.
const MAX_ATTRIBUTES: usize = 8;
/// Field of a `tracing` span that says what it belongs to.
const PARENT: &str = "traceparent";
/// Field of a `tracing` span that says why it failed.
const ERROR: &str = "error";

/// What a span belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    trace_id: u128,
    span_id: u64,
}

impl Parent {
    /// Reads a `traceparent` of version 00 (W3C Trace Context section 3.2). `None` also when its caller does not record.
    #[must_use]
    pub fn read(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version != "00" || parts.next().is_some() {
            return None;
        }
        let flags = u8::try_from(hex(flags, 2)?).ok()?;
        let trace_id = hex(trace_id, 32)?;
        let span_id = u64::try_from(hex(span_id, 16)?).ok()?;
        (flags & 1 == 1 && trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id })
    }
}

impl Display for Parent {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "00-{:032x}-{:016x}-01", self.trace_id, self.span_id)
    }
}

/// Lower-case hexadecimal of exactly so many digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let proper = text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    proper.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// Hands spans to all watchers.
#[derive(Clone, Debug)]
pub struct Spans {
    sender: broadcast::Sender<pb::Span>,
    dropped: Arc<AtomicU64>,
}

impl Default for Spans {
    fn default() -> Self {
        Self {
            sender: broadcast::channel(KEPT).0,
            dropped: Arc::default(),
        }
    }
}

impl Spans {
    fn tell(&self, span: pb::Span) {
        if self.sender.send(span).is_err() {
            self.missed(1);
        }
    }

    /// Everything from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<pb::Span> {
        self.sender.subscribe()
    }

    /// Counts spans that nobody got.
    pub fn missed(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// Spans that nobody got since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Makes spans of those `tracing` spans that carry the field `traceparent`, and of what is inside them.
pub struct SpanLayer(pub Spans);

/// A span that is not over yet.
struct Open {
    parent: Parent,
    span_id: u64,
    started_at: SystemTime,
    error: String,
    attributes: Vec<(&'static str, String)>,
}

#[derive(Default)]
struct Fields {
    parent: Option<Parent>,
    error: Option<String>,
    attributes: Vec<(&'static str, String)>,
}

impl Fields {
    fn take(&mut self, field: &Field, mut text: String) {
        match field.name() {
            PARENT => self.parent = Parent::read(&text),
            ERROR => self.error = Some(text),
            name if self.attributes.len() < MAX_ATTRIBUTES => {
                text.truncate(text.floor_char_boundary(MAX_VALUE));
                self.attributes.push((name, text));
            }
            _ => {}
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for SpanLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let outer = || {
            let outer = span.parent()?;
            let extensions = outer.extensions();
            let open = extensions.get::<Open>()?;
            Some(Parent {
                span_id: open.span_id,
                ..open.parent
            })
        };
        let Some(parent) = fields.parent.or_else(outer) else {
            return;
        };
        span.extensions_mut().insert(Open {
            parent,
            span_id: OsRng.next_u64().max(1),
            started_at: SystemTime::now(),
            error: String::new(),
            attributes: fields.attributes,
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let (Some(open), Some(error)) = (span.extensions_mut().get_mut::<Open>(), fields.error) {
            open.error = error;
        }
    }

    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {}

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>() else {
            return;
        };
        self.0.tell(pb::Span {
            trace_id: open.parent.trace_id.to_be_bytes().to_vec(),
            span_id: open.span_id.to_be_bytes().to_vec(),
            parent_span_id: open.parent.span_id.to_be_bytes().to_vec(),
            name: span.name().to_owned(),
            started_at: Some(open.started_at.into()),
            ended_at: Some(SystemTime::now().into()),
            error: open.error,
            attributes: open
                .attributes
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{KEPT, Parent, SpanLayer, Spans};
    use tracing_subscriber::layer::SubscriberExt;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn reads_what_the_standard_writes_and_nothing_else() {
        assert_eq!(Parent::read(GIVEN).unwrap().to_string(), GIVEN);
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319é-b7ad6b7169203331-01",
        ] {
            assert_eq!(Parent::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn makes_spans_of_what_belongs_to_a_trace_and_of_nothing_else() {
        let spans = Spans::default();
        let mut watched = spans.watch();
        let subscriber = tracing_subscriber::registry().with(SpanLayer(spans));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!("nobody's").in_scope(|| tracing::info_span!("nor this").in_scope(|| ()));
            let call =
                tracing::info_span!("call", traceparent = %Parent::read(GIVEN).unwrap(), error = tracing::field::Empty);
            call.in_scope(|| tracing::info_span!("step", frames = 3).in_scope(|| ()));
            call.record("error", tracing::field::display("BAD"));
        });
        let (step, call) = (watched.try_recv().unwrap(), watched.try_recv().unwrap());
        assert_eq!((step.name.as_str(), call.name.as_str()), ("step", "call"));
        assert_eq!(step.parent_span_id, call.span_id);
        assert_eq!(step.attributes.get("frames").unwrap(), "3");
        assert_eq!(call.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
        assert_eq!(
            call.trace_id,
            0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes()
        );
        assert_eq!((call.error.as_str(), step.error.as_str()), ("BAD", ""));
        assert!(watched.try_recv().is_err());
    }

    #[test]
    fn keeps_a_bounded_number_and_counts_the_rest() {
        let spans = Spans::default();
        let subscriber = tracing_subscriber::registry().with(SpanLayer(spans.clone()));
        let make = |count: usize| {
            for _ in 0..count {
                tracing::info_span!("call", traceparent = GIVEN).in_scope(|| ());
            }
        };
        tracing::subscriber::with_default(subscriber, || {
            make(3);
            assert_eq!(spans.dropped(), 3, "nobody watches");
            let mut slow = spans.watch();
            make(KEPT + 5);
            let missed = slow.try_recv().unwrap_err();
            assert_eq!(missed, tokio::sync::broadcast::error::TryRecvError::Lagged(5));
        });
    }
}
