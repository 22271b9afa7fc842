//! Frames of the shape of WireGuard data messages, back to back, without any cipher.

use std::ops::Range;

/// Before the packet, and after its padding.
pub const HEADER: usize = 16;
const TAG: usize = 16;
const PADDING: usize = 16;
/// Bytes that are gathered before they are sent.
const CAPACITY: usize = 1 << 16;

/// Room for frames that are sent together.
pub struct Frames {
    bytes: Vec<u8>,
    used: usize,
    runs: Vec<(Range<usize>, usize)>,
    /// The last run may get more.
    open: bool,
}

impl Frames {
    pub fn new() -> Self {
        Self {
            bytes: vec![0; CAPACITY],
            used: 0,
            runs: Vec::new(),
            open: false,
        }
    }

    pub fn clear(&mut self) {
        self.runs.clear();
        (self.used, self.open) = (0, false);
    }

    /// Room for the next packet; `None` when it must be sent first.
    pub fn push(&mut self, length: usize) -> Option<&mut [u8]> {
        let size = HEADER + length.next_multiple_of(PADDING) + TAG;
        let frame = self.used..self.used + size;
        self.bytes.get(frame.clone())?;
        match self.runs.last_mut() {
            Some((run, segment)) if self.open && size <= *segment => {
                run.end = frame.end;
                self.open = size == *segment;
            }
            _ => {
                self.runs.push((frame.clone(), size));
                self.open = true;
            }
        }
        self.used = frame.end;
        self.bytes.get_mut(frame.start + HEADER..frame.start + HEADER + length)
    }

    /// Frames of one size each, and that size.
    pub fn runs(&self) -> impl Iterator<Item = (&[u8], usize)> {
        let bytes = |(run, segment): &(Range<usize>, usize)| Some((self.bytes.get(run.clone())?, *segment));
        self.runs.iter().filter_map(bytes)
    }
}

/// Where the packet of a received frame is, by its own length; `None` when it is none.
pub fn packet_of(slab: &[u8], frame: Range<usize>) -> Option<Range<usize>> {
    let inner = frame.start + HEADER..frame.end.checked_sub(TAG)?;
    let packet = slab.get(inner.clone())?;
    let length = match packet.first()? >> 4 {
        4 => usize::from(u16::from_be_bytes(*packet.get(2..)?.first_chunk()?)),
        6 => 40 + usize::from(u16::from_be_bytes(*packet.get(4..)?.first_chunk()?)),
        _ => return None,
    };
    (length <= packet.len()).then_some(inner.start..inner.start + length)
}
