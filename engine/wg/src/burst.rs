//! Packets of one peer in one buffer, as they will be sent.

use crate::frame::{DATA_OVERHEAD, HEADER_BYTES, padded};
use crate::noise::aead::TAG_BYTES;
use std::ops::Range;

/// Frames of a burst at most: as many segments as Linux takes at once (`UDP_MAX_SEGMENTS` before 6.9).
pub const BURST_FRAMES: usize = 64;
/// Bytes of a burst at most: the largest UDP payload over IPv4, which a segmented send may not pass either.
pub const BURST_BYTES: usize = 65_507;
/// Where padding ends unless [`Burst::set_mtu`] says otherwise.
const DEFAULT_MTU: usize = 1420;

#[derive(Clone, Copy)]
struct Frame {
    start: usize,
    plain: usize,
    bytes: usize,
}

impl Frame {
    fn range(self) -> Range<usize> {
        self.start..self.start + self.bytes
    }
}

/// Room for packets of one peer as they will be sent: header (16), packet, padding, tag (16), back to back in one
/// buffer of up to 64 KiB. Filled by [`Burst::push`], sealed in place by [`crate::Wg::seal_batch`].
pub struct Burst {
    buffer: Box<[u8]>,
    frames: Vec<Frame>,
    used: usize,
    mtu: usize,
    sealed: bool,
}

impl Burst {
    /// Allocated once and reused; more than [`BURST_BYTES`] counts as that.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            buffer: vec![0; bytes.min(BURST_BYTES)].into_boxed_slice(),
            frames: Vec::with_capacity(BURST_FRAMES),
            used: 0,
            mtu: DEFAULT_MTU,
            sealed: false,
        }
    }

    /// The largest packet of the interface: no padding goes past it, because the path need not carry what is longer.
    pub fn set_mtu(&mut self, mtu: usize) {
        self.mtu = mtu;
    }

    /// Makes it empty.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.used = 0;
        self.sealed = false;
    }

    /// Room for the next plain packet. `None`: no space (more than 64 frames, or too long): seal and send first; of an
    /// empty burst: the packet is too long for any.
    pub fn push(&mut self, len: usize) -> Option<&mut [u8]> {
        self.push_padded(len, 0)
    }

    /// The same with padding up to `least` bytes, which the other side drops as any padding (whitepaper, section 5.4.6).
    pub fn push_padded(&mut self, len: usize, least: usize) -> Option<&mut [u8]> {
        let bytes = padded(len, self.mtu)?.max(least).checked_add(DATA_OVERHEAD)?;
        if self.sealed || self.frames.len() >= BURST_FRAMES || bytes > self.buffer.len() - self.used {
            return None;
        }
        let frame = Frame {
            start: self.used,
            plain: len,
            bytes,
        };
        self.frames.push(frame);
        self.used += bytes;
        let text = self.buffer.get_mut(frame.range())?;
        let (packet, padding) = text
            .get_mut(HEADER_BYTES..bytes - TAG_BYTES)?
            .split_at_mut_checked(len)?;
        padding.fill(0);
        Some(packet)
    }

    /// Packets in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// No packet is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// A packet as it was written; `None` past the end and once sealed.
    #[must_use]
    pub fn plain(&self, index: usize) -> Option<&[u8]> {
        let frame = self.frames.get(index).filter(|_| !self.sealed)?;
        let start = frame.start + HEADER_BYTES;
        self.buffer.get(start..start + frame.plain)
    }

    /// The datagrams; none before it is sealed.
    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let sealed = self.frames.get(..if self.sealed { self.len() } else { 0 });
        let frames = sealed.unwrap_or_default().iter();
        frames.filter_map(|frame| self.buffer.get(frame.range()))
    }

    /// The datagrams in runs that one segmented send can take: bytes and segment size. All of one run are of that size
    /// but the last, which may be shorter.
    pub fn runs(&self) -> impl Iterator<Item = (&[u8], usize)> {
        let mut rest = self
            .frames
            .get(..if self.sealed { self.len() } else { 0 })
            .unwrap_or_default();
        std::iter::from_fn(move || {
            let first = *rest.first()?;
            let same = rest.iter().take_while(|frame| frame.bytes == first.bytes).count();
            let shorter = rest.get(same).is_some_and(|frame| frame.bytes < first.bytes);
            let (run, after) = rest.split_at_checked(same + usize::from(shorter))?;
            rest = after;
            let end = run.last()?.range().end;
            Some((self.buffer.get(first.start..end)?, first.bytes))
        })
    }

    /// Sealed bytes of all frames.
    pub(crate) fn bytes(&self) -> usize {
        self.used
    }

    /// Hands each frame to `seal` in its order; `None` as soon as that gives `None`.
    pub(crate) fn seal(&mut self, mut seal: impl FnMut(&mut [u8]) -> Option<()>) -> Option<()> {
        for frame in &self.frames {
            seal(self.buffer.get_mut(frame.range())?)?;
        }
        self.sealed = true;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_does_not_fit_is_told_before_it_is_written() {
        let mut burst = Burst::with_capacity(usize::MAX);
        assert!(burst.push(BURST_BYTES).is_none() && burst.push(usize::MAX).is_none());
        for _ in 0..BURST_FRAMES {
            assert_eq!(burst.push(100).unwrap().len(), 100);
        }
        assert!(burst.push(0).is_none(), "64 frames");
        burst.clear();
        let frames = (0..).take_while(|_| burst.push(1420).is_some()).count();
        assert_eq!(frames, BURST_BYTES / 1452);
        assert!(burst.push(100).is_some(), "what is shorter may fit still");
    }

    #[test]
    fn padding_goes_as_far_as_is_asked() {
        let mut burst = Burst::with_capacity(BURST_BYTES);
        for (least, expected) in [(0, 64), (60, 64), (64, 64), (1333, 1333), (9000, 9000)] {
            burst.push_padded(60, least).unwrap().fill(1);
            burst.seal(|_| Some(())).unwrap();
            let frame = burst.frames().next().unwrap();
            assert_eq!(frame.len(), expected + DATA_OVERHEAD);
            assert!(frame[16 + 60..16 + expected].iter().all(|byte| *byte == 0));
            burst.clear();
        }
        assert!(burst.push_padded(60, usize::MAX).is_none());
    }

    proptest! {
        #[test]
        fn runs_are_the_frames_and_each_is_one_segmented_send(
            lengths in proptest::collection::vec(prop_oneof![Just(1420usize), Just(1400), 0usize..1500], 0..70),
        ) {
            let mut burst = Burst::with_capacity(BURST_BYTES);
            for (number, len) in lengths.iter().enumerate() {
                if let Some(room) = burst.push(*len) {
                    room.fill(u8::try_from(number).unwrap());
                }
            }
            prop_assert!(burst.frames().next().is_none() && burst.runs().next().is_none());
            let plain: Vec<Vec<u8>> = (0..burst.len()).map(|at| burst.plain(at).unwrap().to_vec()).collect();
            burst.seal(|_| Some(())).unwrap();
            prop_assert!(burst.plain(0).is_none() && burst.push(1).is_none());
            let frames: Vec<&[u8]> = burst.frames().collect();
            prop_assert_eq!(frames.len(), plain.len());
            for (frame, plain) in frames.iter().zip(&plain) {
                prop_assert_eq!(&frame[16..16 + plain.len()], &plain[..]);
            }
            let mut split = Vec::new();
            for (bytes, segment) in burst.runs() {
                prop_assert!(bytes.len().div_ceil(segment) <= BURST_FRAMES);
                split.extend(bytes.chunks(segment));
            }
            prop_assert_eq!(split, frames);
        }
    }
}
