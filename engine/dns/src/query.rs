//! What a host asks.

use crate::message::{AD, CD, DO, HEADER, Header, OPCODE, QR, RA, RD, Rcode, Reader, TC, kind, write_opt};
use crate::name::Name;
use crate::zone::Record;
use crate::{MAX_UDP_ANSWER, UPSTREAM_UDP_SIZE};

/// Smallest UDP answer that every asker takes (RFC 1035, section 2.3.4).
const CLASSIC_UDP: usize = 512;
/// Name, kind and class of a record that answers a question: the name stands behind the header.
const NAME_OF_QUESTION: [u8; 2] = [0xc0, 12];

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One datagram.
    Udp,
    /// After two bytes of length.
    Tcp,
}

/// A query that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub(crate) id: u16,
    flags: u16,
    /// In lower case.
    pub(crate) name: Name,
    pub(crate) kind: u16,
    pub(crate) class: u16,
    /// The question as it was asked, in its own case.
    pub(crate) question: Box<[u8]>,
    pub(crate) edns: Option<Edns>,
    pub(crate) transport: Transport,
}

/// What the asker can take (RFC 6891).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edns {
    udp_size: u16,
    version: u8,
    pub(crate) dnssec_ok: bool,
}

/// Two queries with one key have one answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub name: Name,
    pub kind: u16,
    pub class: u16,
    pub edns: bool,
    pub dnssec_ok: bool,
    pub checking_disabled: bool,
    pub recursion_desired: bool,
}

/// Why something is not answered as a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No header, or an answer: whoever answers it may talk to itself for ever.
    Silent,
    /// Answered with FORMERR.
    Malformed(Vec<u8>),
    /// Answered with NOTIMP or BADVERS.
    Unknown(Vec<u8>),
}

impl Query {
    /// Reads a message from a host.
    ///
    /// # Errors
    /// [`Refused`] with what to answer.
    pub fn read(bytes: &[u8], transport: Transport) -> Result<Self, Refused> {
        let header = Header::read(bytes)
            .filter(|header| header.flags & QR == 0)
            .ok_or(Refused::Silent)?;
        if header.flags & OPCODE != 0 {
            return Err(Refused::Unknown(bare(&header, Rcode::NotImp)));
        }
        let query = Self::read_body(bytes, &header, transport)
            .ok_or_else(|| Refused::Malformed(bare(&header, Rcode::FormErr)))?;
        if query.edns.is_some_and(|edns| edns.version != 0) {
            return Err(Refused::Unknown(query.answer(Rcode::BadVers, false, &[], &[])));
        }
        Ok(query)
    }

    fn read_body(bytes: &[u8], header: &Header, transport: Transport) -> Option<Self> {
        let [questions, answers, authorities, additionals] = header.counts;
        if questions != 1 || answers != 0 || authorities != 0 {
            return None;
        }
        let mut reader = Reader::new(bytes, HEADER);
        let (name, length) = Name::read(reader.rest())?;
        let question = reader.rest().get(..length + 4)?.into();
        reader.take(length)?;
        let (kind, class) = (reader.u16()?, reader.u16()?);
        let mut edns = None;
        for _ in 0..additionals {
            let record = reader.record()?;
            if record.kind != kind::OPT {
                continue;
            }
            if edns.is_some() || !record.root {
                return None;
            }
            edns = Some(Edns {
                udp_size: record.class,
                version: u8::try_from(record.ttl >> 16 & 0xff).ok()?,
                dnssec_ok: record.ttl & DO != 0,
            });
        }
        Some(Self {
            id: header.id,
            flags: header.flags,
            name,
            kind,
            class,
            question,
            edns,
            transport,
        })
    }

    /// The name that is asked for.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    pub(crate) fn key(&self) -> Key {
        Key {
            name: self.name.clone(),
            kind: self.kind,
            class: self.class,
            edns: self.edns.is_some(),
            dnssec_ok: self.edns.is_some_and(|edns| edns.dnssec_ok),
            checking_disabled: self.flags & CD != 0,
            recursion_desired: self.flags & RD != 0,
        }
    }

    /// The same question for an upstream: another id, no options of the asker.
    pub(crate) fn for_upstream(&self, id: u16) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.question.len() + 11);
        Header {
            id,
            flags: self.flags & (RD | CD | AD),
            counts: [1, 0, 0, u16::from(self.edns.is_some())],
        }
        .write(&mut bytes);
        bytes.extend_from_slice(&self.question);
        if let Some(edns) = self.edns {
            write_opt(&mut bytes, UPSTREAM_UDP_SIZE, 0, edns.dnssec_ok);
        }
        bytes
    }

    /// The longest answer that the asker takes, bytes.
    pub(crate) fn room(&self) -> usize {
        match (self.transport, self.edns) {
            (Transport::Tcp, _) => usize::from(u16::MAX),
            (Transport::Udp, None) => CLASSIC_UDP,
            (Transport::Udp, Some(edns)) => usize::from(edns.udp_size).clamp(CLASSIC_UDP, MAX_UDP_ANSWER),
        }
    }

    /// An answer of our own; `owned` when we are the authority for it. Shortened when it does not fit.
    pub(crate) fn answer(&self, rcode: Rcode, owned: bool, answers: &[Record], authority: &[Record]) -> Vec<u8> {
        let bytes = self.compose(rcode, if owned { crate::message::AA } else { 0 }, answers, authority);
        if bytes.len() <= self.room() {
            bytes
        } else {
            self.truncated()
        }
    }

    /// The answer that says that the answer is too long.
    pub(crate) fn truncated(&self) -> Vec<u8> {
        self.compose(Rcode::NoError, TC, &[], &[])
    }

    fn compose(&self, rcode: Rcode, extra: u16, answers: &[Record], authority: &[Record]) -> Vec<u8> {
        let count = |records: &[Record]| u16::try_from(records.len()).unwrap_or(u16::MAX);
        let number = rcode.number();
        let mut bytes = Vec::with_capacity(CLASSIC_UDP);
        Header {
            id: self.id,
            flags: QR | RA | (self.flags & (RD | CD)) | extra | (number & 0xf),
            counts: [1, count(answers), count(authority), u16::from(self.edns.is_some())],
        }
        .write(&mut bytes);
        bytes.extend_from_slice(&self.question);
        for record in answers {
            bytes.extend(NAME_OF_QUESTION);
            record.write(&mut bytes);
        }
        for record in authority {
            bytes.extend_from_slice(record.owner.as_bytes());
            record.write(&mut bytes);
        }
        if self.edns.is_some() {
            let own_size = u16::try_from(MAX_UDP_ANSWER).unwrap_or(UPSTREAM_UDP_SIZE);
            let extended = u8::try_from(number >> 4).unwrap_or_default();
            write_opt(&mut bytes, own_size, extended, false);
        }
        bytes
    }

    /// Makes the answer to another query of the same key the answer to this one.
    pub(crate) fn adopt(&self, answer: &mut [u8]) {
        let parts = [(0, &self.id.to_be_bytes()[..]), (HEADER, &self.question)];
        for (at, bytes) in parts {
            if let Some(place) = answer.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        }
    }
}

/// A header alone.
fn bare(header: &Header, rcode: Rcode) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    Header {
        id: header.id,
        flags: QR | (header.flags & (OPCODE | RD)) | rcode.number(),
        counts: [0; 4],
    }
    .write(&mut bytes);
    bytes
}
