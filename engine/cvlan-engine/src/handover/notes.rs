//! What two engines say to each other: short notes in turn, some with descriptors.

use super::HandoverError;
use cvlan_io::{receive_descriptors, send_descriptors};
use prost::Message;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Bytes of a note at most, its length included.
const MAX_NOTE: usize = 4096;
const LENGTH: usize = 4;
/// Letters of the words of the other side that are told on.
const MAX_WORDS: usize = 200;

/// What a note is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Step {
    /// Nothing that this version knows.
    Unknown = 0,
    /// The new engine: these formats I read.
    Hello = 1,
    /// The running one: this format I write, and nothing changes from now on but packets that flow.
    Frozen = 2,
    /// The running one: nothing can be handed over, `why` says why.
    Unable = 3,
    /// The new one: end as if you had been stopped.
    Leave = 4,
    /// The new one: all that needs no state is done, stop.
    Stop = 5,
    /// The running one: I have stopped; here is everything.
    State = 6,
    /// The new one: I have all I need.
    Ready = 7,
    /// The running one: I never seal again. Begin.
    Commit = 8,
}

/// What a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Kind {
    /// Nothing that this version knows; closed.
    Unknown = 0,
    /// The sealed memory.
    Memory = 1,
    /// The lock of the folder, held.
    Lock = 2,
    /// The TUN interface.
    Tun = 3,
    /// The WireGuard socket.
    Udp = 4,
    /// The control socket, listening.
    Control = 5,
    /// The socket where a successor is waited for, listening.
    Handover = 6,
    /// Where names are answered.
    DnsUdp = 7,
    /// The same over TCP, listening.
    DnsTcp = 8,
    /// Where figures are shown, listening.
    Figures = 9,
}

/// One note.
#[derive(Clone, PartialEq, Message)]
pub struct Note {
    /// What it is for.
    #[prost(enumeration = "Step", tag = "1")]
    pub step: i32,
    /// Of Hello: those that are read. Of Frozen: the one that is written.
    #[prost(uint32, repeated, tag = "2")]
    pub formats: Vec<u32>,
    /// Of Hello and Frozen: version of the program.
    #[prost(string, tag = "3")]
    pub version: String,
    /// Of Frozen and Unable: which process.
    #[prost(string, tag = "4")]
    pub instance_id: String,
    /// Of Unable.
    #[prost(string, tag = "5")]
    pub why: String,
    /// What the descriptors are, in their order.
    #[prost(enumeration = "Kind", repeated, tag = "6")]
    pub kinds: Vec<i32>,
}

impl Note {
    /// A note of a step alone.
    pub fn new(step: Step) -> Self {
        Self {
            step: step.into(),
            ..Self::default()
        }
    }
}

/// Words of the other side in a form that a log can take.
pub fn printable(words: &str) -> String {
    words
        .chars()
        .take(MAX_WORDS)
        .map(|letter| {
            if letter == ' ' || letter.is_ascii_graphic() {
                letter
            } else {
                '?'
            }
        })
        .collect()
}

/// A descriptor and what it is.
pub type Named = (Kind, OwnedFd);

/// One end of a conversation.
pub struct Line(UnixStream);

impl Line {
    /// Takes a connected socket.
    pub fn new(stream: UnixStream) -> Self {
        Self(stream)
    }

    /// Sends a note, with descriptors.
    ///
    /// # Errors
    /// When the other side is gone: then it never gets the note.
    pub fn send(&self, note: Note, with: &[(Kind, BorrowedFd<'_>)]) -> Result<(), HandoverError> {
        let note = Note {
            kinds: with.iter().map(|(kind, _)| (*kind).into()).collect(),
            ..note
        };
        let body = note.encode_to_vec();
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        let bytes = [&length.to_le_bytes(), body.as_slice()].concat();
        let descriptors: Vec<_> = with.iter().map(|(_, fd)| *fd).collect();
        Ok(send_descriptors(self.0.as_fd(), &bytes, &descriptors)?)
    }

    /// Waits for the next note.
    ///
    /// # Errors
    /// When none comes in time, or something that is none.
    pub fn receive(&self, patience: Duration) -> Result<(Step, Note, Vec<Named>), HandoverError> {
        self.0.set_read_timeout(Some(patience))?;
        let mut room = [0; MAX_NOTE];
        let (mut filled, mut wanted) = (0, LENGTH);
        let mut descriptors = Vec::new();
        while filled < wanted {
            let rest = room.get_mut(filled..wanted).unwrap_or_default();
            let came = receive_descriptors(self.0.as_fd(), rest, &mut descriptors)?;
            if came == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            filled += came;
            if filled == LENGTH && wanted == LENGTH {
                let length = room.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
                wanted += usize::try_from(length).unwrap_or(usize::MAX).min(MAX_NOTE);
                if wanted > MAX_NOTE {
                    return Err(HandoverError::Protocol("its note is too long"));
                }
            }
        }
        let body = room.get(LENGTH..wanted).unwrap_or_default();
        let note = Note::decode(body).map_err(|_| HandoverError::Protocol("its note cannot be read"))?;
        if note.kinds.len() != descriptors.len() {
            return Err(HandoverError::Protocol("descriptors came without a name"));
        }
        let named = note.kinds().zip(descriptors).collect();
        Ok((note.step(), note, named))
    }

    /// The connection, which ends with the process at the other end.
    pub fn into_stream(self) -> UnixStream {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const SOON: Duration = Duration::from_secs(20);

    fn pair() -> (Line, UnixStream) {
        let (one, other) = UnixStream::pair().unwrap();
        (Line::new(one), other)
    }

    #[test]
    fn a_note_arrives_with_its_descriptors() {
        let (one, other) = pair();
        let (here, there) = UnixStream::pair().unwrap();
        let note = Note {
            why: "because".into(),
            ..Note::new(Step::Unable)
        };
        one.send(note, &[(Kind::Tun, here.as_fd()), (Kind::Udp, here.as_fd())])
            .unwrap();
        let (step, note, named) = Line::new(other).receive(SOON).unwrap();
        assert_eq!((step, note.why.as_str()), (Step::Unable, "because"));
        let kinds: Vec<_> = named.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [Kind::Tun, Kind::Udp]);
        drop(here);
        let (_, fd) = named.into_iter().next().unwrap();
        UnixStream::from(fd).write_all(b"x").unwrap();
        let mut room = [0; 1];
        assert_eq!(std::io::Read::read(&mut &there, &mut room).unwrap(), 1);
    }

    #[test]
    fn what_is_no_note_is_refused() {
        for bytes in [&[0xff; 8][..], &[3, 0, 0, 0, 0xff, 0xff, 0xff], &[9, 0, 0, 0, 8], &[]] {
            let (one, mut other) = pair();
            other.write_all(bytes).unwrap();
            drop(other);
            assert!(one.receive(SOON).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn descriptors_without_a_name_are_refused_and_closed() {
        let (one, other) = pair();
        let (here, there) = UnixStream::pair().unwrap();
        send_descriptors(other.as_fd(), &[2, 0, 0, 0, 8, 7], &[here.as_fd()]).unwrap();
        assert!(matches!(one.receive(SOON), Err(HandoverError::Protocol(_))));
        drop(here);
        let mut room = [0; 1];
        assert_eq!(
            std::io::Read::read(&mut &there, &mut room).unwrap(),
            0,
            "nobody holds the other end"
        );
    }

    #[test]
    fn words_of_the_other_side_cannot_forge_lines() {
        assert_eq!(printable("a\nb\u{1b}[1m\u{e9}"), "a?b?[1m?");
        assert_eq!(printable(&"x".repeat(1000)).len(), MAX_WORDS);
    }
}
