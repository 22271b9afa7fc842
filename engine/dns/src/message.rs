//! The form of DNS messages (RFC 1035, section 4; RFC 6891 for EDNS).

/// Bytes of a header.
pub(crate) const HEADER: usize = 12;
/// First two bits of a length byte that say that the rest of a name stands elsewhere.
const POINTER: u8 = 0xc0;

pub(crate) const QR: u16 = 1 << 15;
pub(crate) const AA: u16 = 1 << 10;
pub(crate) const TC: u16 = 1 << 9;
pub(crate) const RD: u16 = 1 << 8;
pub(crate) const RA: u16 = 1 << 7;
pub(crate) const AD: u16 = 1 << 5;
pub(crate) const CD: u16 = 1 << 4;
pub(crate) const OPCODE: u16 = 0x7800;
pub(crate) const RCODE: u16 = 0xf;
/// DNSSEC OK, in the TTL field of an OPT record (RFC 3225).
pub(crate) const DO: u32 = 1 << 15;

/// Kinds of records, classes.
pub(crate) mod kind {
    pub(crate) const A: u16 = 1;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const PTR: u16 = 12;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const OPT: u16 = 41;
    /// Incremental and whole zone transfers, and the mail kinds that went out of use (RFC 1035, section 3.2.3).
    pub(crate) const TRANSFERS: std::ops::RangeInclusive<u16> = 251..=254;
    pub(crate) const ANY: u16 = 255;
    pub(crate) const IN: u16 = 1;
}

/// What an answer says of the question (RFC 1035, section 4.1.1; RFC 6891, section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rcode {
    /// Answered.
    NoError,
    /// No query.
    FormErr,
    /// Nobody answered.
    ServFail,
    /// No such name.
    NxDomain,
    /// Not an operation of ours.
    NotImp,
    /// Not for us.
    Refused,
    /// An EDNS version that nobody speaks.
    BadVers,
}

impl Rcode {
    /// The number, of which EDNS carries all but the lowest four bits.
    pub(crate) fn number(self) -> u16 {
        match self {
            Self::NoError => 0,
            Self::FormErr => 1,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::NotImp => 4,
            Self::Refused => 5,
            Self::BadVers => 16,
        }
    }
}

/// Reads from the front of what is left.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    whole: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(whole: &'a [u8], at: usize) -> Self {
        Self { whole, at }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.whole.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.rest().get(..length)?;
        self.at += length;
        Some(taken)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// Passes over a name; a pointer ends it, and is not followed.
    fn skip_name(&mut self) -> Option<()> {
        loop {
            let length = *self.take(1)?.first()?;
            match length & POINTER {
                0 if length == 0 => return Some(()),
                0 => _ = self.take(usize::from(length))?,
                POINTER => {
                    self.take(1)?;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    pub(crate) fn record(&mut self) -> Option<RawRecord<'a>> {
        let began = self.at;
        self.skip_name()?;
        let root = self.at == began + 1;
        let (kind, class) = (self.u16()?, self.u16()?);
        let ttl_at = self.at;
        let ttl = self.u32()?;
        let length = self.u16()?;
        let data = self.take(usize::from(length))?;
        Some(RawRecord {
            root,
            kind,
            class,
            ttl,
            ttl_at,
            data,
        })
    }
}

/// A resource record whose data nobody looked at.
pub(crate) struct RawRecord<'a> {
    /// Its name is the root.
    pub root: bool,
    pub kind: u16,
    pub class: u16,
    pub ttl: u32,
    /// Where the TTL stands in the message.
    pub ttl_at: usize,
    pub data: &'a [u8],
}

/// Id, flags and the four counts.
pub(crate) struct Header {
    pub id: u16,
    pub flags: u16,
    pub counts: [u16; 4],
}

impl Header {
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes, 0);
        Some(Self {
            id: reader.u16()?,
            flags: reader.u16()?,
            counts: [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?],
        })
    }

    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        for number in [self.id, self.flags].into_iter().chain(self.counts) {
            into.extend(number.to_be_bytes());
        }
    }
}

/// Appends an OPT record (RFC 6891, section 6.1.2) without options.
pub(crate) fn write_opt(into: &mut Vec<u8>, udp_size: u16, extended_rcode: u8, dnssec_ok: bool) {
    let flags = if dnssec_ok { DO } else { 0 };
    into.push(0);
    into.extend(kind::OPT.to_be_bytes());
    into.extend(udp_size.to_be_bytes());
    into.extend((u32::from(extended_rcode) << 24 | flags).to_be_bytes());
    into.extend([0, 0]);
}
