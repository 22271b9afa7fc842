//! Steps kept beside the last whole state, so that a small change of a large map costs a small write.
//!
//! A map smaller than [`WORTH`] is written whole each time. Of a larger one the step that makes the whole state be written
//! is appended too, before that: the state before and its journal then lead to the new state, and on along the journal
//! of that one, so that nothing is lost with a damaged state.
//!
//! A journal begins with a mark and the digest of the state that it goes on from, so that one of another state is no
//! journal of this. Each record is its length, the frames of one step, and SHA-256 over the digest before it, the length
//! and the frames: a record counts whole, in its place and behind all the others, or it and what follows do not count.

use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::error::{MapError, Reason};

const MARK: &[u8; 8] = b"CVLJNL1\n";
const DIGEST: usize = 32;
const LENGTH: usize = 4;
/// Bytes of a state from which on steps are appended.
pub(crate) const WORTH: usize = 64 * 1024;
/// Steps after which the whole state is written again: reading verifies each of them.
const MAX_STEPS: u32 = 1024;
/// Where the next step goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Journal {
    base: [u8; DIGEST],
    chain: [u8; DIGEST],
    end: u64,
    steps: u32,
    room: u64,
}

/// A step as it is appended.
pub(crate) struct Entry {
    /// Where it goes in the file; what lies behind is of a step that was not kept.
    pub offset: u64,
    pub bytes: Vec<u8>,
    /// The journal once it is kept.
    pub next: Journal,
}

impl Journal {
    /// An empty journal of a state as `codec` wrote it; None for one that is not worth it.
    pub(crate) fn of(state: &[u8]) -> Option<Self> {
        let base = digest_of(state).filter(|_| state.len() >= WORTH)?;
        Some(Self {
            base,
            chain: base,
            end: 0,
            steps: 0,
            room: state.len() as u64,
        })
    }

    /// The whole state is written with the next step.
    pub(crate) fn due(self) -> Self {
        Self { room: 0, ..self }
    }

    /// True when the whole state should be written with the next step.
    pub(crate) fn is_full(&self) -> bool {
        self.end >= self.room || self.steps >= MAX_STEPS
    }

    /// The entry of a step; None for one of more than 4 GiB.
    pub(crate) fn entry(&self, step: &[u8]) -> Option<Entry> {
        let length = u32::try_from(step.len()).ok()?.to_be_bytes();
        let chain = link(&self.chain, length, step);
        let mut bytes = Vec::new();
        if self.end == 0 {
            bytes.extend_from_slice(MARK);
            bytes.extend_from_slice(&self.base);
        }
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(step);
        bytes.extend_from_slice(&chain);
        let next = Self {
            chain,
            end: self.end + bytes.len() as u64,
            steps: self.steps + 1,
            ..*self
        };
        Some(Entry {
            offset: self.end,
            bytes,
            next,
        })
    }
}

/// The frames of a step as they are kept.
pub(crate) fn write_step(frames: &[entity::MapUpdate]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(frames.iter().map(|frame| frame.encoded_len() + LENGTH).sum());
    for frame in frames {
        bytes.extend(frame.encode_length_delimited_to_vec());
    }
    bytes
}

/// The steps of `journal` when it goes on from `state`; None when it belongs to another. Nothing in them is believed yet.
pub(crate) fn steps<'a>(state: &[u8], journal: &'a [u8]) -> Option<Steps<'a>> {
    let base = digest_of(state)?;
    let rest = journal.strip_prefix(MARK)?.strip_prefix(&base)?;
    let read = Journal {
        end: (MARK.len() + DIGEST) as u64,
        ..Journal::of(state)?
    };
    Some(Steps { rest, read })
}

/// Goes through a journal up to its end or the first record that does not hold.
pub(crate) struct Steps<'a> {
    rest: &'a [u8],
    read: Journal,
}

impl Steps<'_> {
    /// The journal as far as it was read: the next step goes there.
    pub(crate) fn journal(&self) -> Journal {
        self.read
    }
}

impl Iterator for Steps<'_> {
    type Item = Result<Vec<entity::MapUpdate>, MapError>;

    /// A record that is cut short was being written when the machine stopped: nobody was told that it is kept.
    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.rest.split_first_chunk::<LENGTH>()?;
        let size = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (step, rest) = rest.split_at_checked(size)?;
        let (digest, rest) = rest.split_first_chunk::<DIGEST>()?;
        let chain = link(&self.read.chain, *length, step);
        if chain != *digest {
            self.rest = &[];
            return Some(Err(damaged("its checksum does not hold")));
        }
        self.rest = rest;
        self.read.chain = chain;
        self.read.end += (LENGTH + step.len() + DIGEST) as u64;
        self.read.steps += 1;
        Some(read_step(step))
    }
}

fn read_step(mut bytes: &[u8]) -> Result<Vec<entity::MapUpdate>, MapError> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let frame = entity::MapUpdate::decode_length_delimited(&mut bytes);
        frames.push(frame.map_err(|error| damaged(&error.to_string()))?);
    }
    Ok(frames)
}

fn link(before: &[u8; DIGEST], length: [u8; LENGTH], step: &[u8]) -> [u8; DIGEST] {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(length);
    hasher.update(step);
    hasher.finalize().into()
}

/// A state ends with its digest.
fn digest_of(state: &[u8]) -> Option<[u8; DIGEST]> {
    state.last_chunk::<DIGEST>().copied()
}

fn damaged(detail: &str) -> MapError {
    MapError::new(
        Reason::Damaged,
        "map.journal",
        format!("the journal of the map: {detail}"),
    )
}
