//! What an upstream answers.

use std::time::Duration;

use crate::MAX_TTL;
use crate::message::{AA, HEADER, Header, OPCODE, QR, RA, RCODE, Reader, TC, kind};
use crate::name::Name;

/// The highest bit of a TTL is not part of it (RFC 2181, section 8).
const TTL_SIGN: u32 = 1 << 31;

/// The well-formed answer to a certain question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub(crate) bytes: Vec<u8>,
    pub(crate) truncated: bool,
    /// Another server may know better: neither an answer nor a denial.
    pub(crate) unhelpful: bool,
    /// How long it may be remembered; None when not at all.
    pub(crate) lasts: Option<Duration>,
    /// Where TTLs stand.
    pub(crate) ttls: Vec<u16>,
}

/// Why a message is not the answer that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// Of another question, or no answer at all: the real one may come yet.
    Mismatch,
    /// The upstream's, and garbled.
    Garbled,
}

impl Response {
    /// Reads the answer to the question with this id, name, kind and class.
    pub(crate) fn read(bytes: &[u8], id: u16, name: &Name, kind: u16, class: u16) -> Result<Self, NoAnswer> {
        let header = Header::read(bytes).ok_or(NoAnswer::Mismatch)?;
        if header.id != id || header.flags & QR == 0 || header.flags & OPCODE != 0 || header.counts.first() != Some(&1)
        {
            return Err(NoAnswer::Mismatch);
        }
        let mut reader = Reader::new(bytes, HEADER);
        let (asked, length) = Name::read(reader.rest()).ok_or(NoAnswer::Mismatch)?;
        reader.take(length);
        if asked != *name || reader.u16() != Some(kind) || reader.u16() != Some(class) {
            return Err(NoAnswer::Mismatch);
        }
        let truncated = header.flags & TC != 0;
        let body = Body::read(reader, &header).filter(|_| !truncated);
        if !truncated && body.is_none() {
            return Err(NoAnswer::Garbled);
        }
        let body = body.unwrap_or_default();
        let rcode = header.flags & RCODE;
        let cachable = !truncated && matches!(rcode, 0 | 3);
        Ok(Self {
            bytes: bytes
                .get(..body.end.max(HEADER))
                .filter(|_| !truncated)
                .unwrap_or(bytes)
                .to_vec(),
            truncated,
            unhelpful: !matches!(rcode, 0 | 3),
            lasts: body.lasts.filter(|_| cachable),
            ttls: body.ttls,
        }
        .into_ours())
    }

    /// An answer from here is not the authority's, and recursion is to be had.
    fn into_ours(mut self) -> Self {
        if let Some([high, low]) = self.bytes.get_mut(2..4) {
            let flags = u16::from_be_bytes([*high, *low]) & !AA | RA;
            [*high, *low] = flags.to_be_bytes();
        }
        self
    }

    /// The bytes as they are after having been remembered so long.
    pub(crate) fn aged(&self, by: Duration) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let seconds = u32::try_from(by.as_secs()).unwrap_or(u32::MAX);
        for at in self.ttls.iter().copied().map(usize::from) {
            if let Some(Ok(field)) = bytes.get_mut(at..at + 4).map(<&mut [u8; 4]>::try_from) {
                *field = u32::from_be_bytes(*field).saturating_sub(seconds).to_be_bytes();
            }
        }
        bytes
    }
}

#[derive(Default)]
struct Body {
    end: usize,
    lasts: Option<Duration>,
    ttls: Vec<u16>,
}

impl Body {
    /// Walks over all records. Remembered is what has an answer for as long as its shortest record says, and a denial for as
    /// long as its SOA says (RFC 2308, section 5).
    fn read(mut reader: Reader<'_>, header: &Header) -> Option<Self> {
        let [_, answers, authorities, additionals] = header.counts;
        let mut ttls = Vec::new();
        let mut shortest: Option<u32> = None;
        let mut denial: Option<u32> = None;
        let total = u32::from(answers) + u32::from(authorities) + u32::from(additionals);
        for index in 0..total {
            let record = reader.record()?;
            if record.kind == kind::OPT {
                continue;
            }
            let ttl = if record.ttl & TTL_SIGN == 0 { record.ttl } else { 0 };
            ttls.push(u16::try_from(record.ttl_at).ok()?);
            if index < u32::from(answers) {
                shortest = Some(shortest.map_or(ttl, |shortest| shortest.min(ttl)));
            } else if record.kind == kind::SOA {
                let minimum = record.data.last_chunk::<4>().copied().map(u32::from_be_bytes)?;
                denial = Some(ttl.min(minimum));
            }
        }
        let lasts = if header.flags & RCODE == 0 && answers > 0 {
            shortest
        } else {
            denial
        };
        let lasts = lasts.map(|seconds| seconds.min(MAX_TTL)).filter(|seconds| *seconds > 0);
        Some(Self {
            end: reader.at(),
            lasts: lasts.map(|seconds| Duration::from_secs(seconds.into())),
            ttls,
        })
    }
}
