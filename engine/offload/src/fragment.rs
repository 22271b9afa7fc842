//! An IPv4 packet in fragments (RFC 791 section 3.2), for a path that does not carry it whole.

use crate::layout::{V4_HEADER, finish_v4, read, write};

const MORE: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;
/// Bit of an option that every fragment has.
const COPIED: u8 = 0x80;
const MAX_HEADER: usize = 60;

/// A packet, to be written out in fragments.
#[derive(Clone, Copy, Debug)]
pub struct Fragments<'a> {
    packet: &'a [u8],
    /// Of the first fragment.
    header: usize,
    /// What the others begin with.
    later: [u8; MAX_HEADER],
    later_header: usize,
    /// Bytes of payload of all but the last.
    payload: usize,
}

impl<'a> Fragments<'a> {
    /// Fragments of at most `limit` bytes. `None` when the packet must not be cut, is not as long as it says, or `limit` leaves no room.
    #[must_use]
    pub fn new(packet: &'a [u8], limit: usize) -> Option<Self> {
        let header = usize::from(packet.first()? & 0x0f) * 4;
        let cut = packet.first()? >> 4 == 4
            && header >= V4_HEADER
            && usize::from(read(packet, 2)?) == packet.len()
            && read(packet, 6)? & 0x4000 == 0;
        let payload = limit.checked_sub(header)? & !7;
        if !cut || payload == 0 || packet.len() <= header {
            return None;
        }
        // A fragment that would end past the largest packet has no place for its own fragments.
        let last = usize::from(read(packet, 6)? & OFFSET) + (packet.len() - header - 1) / 8;
        if last > usize::from(OFFSET) {
            return None;
        }
        let mut later = [0; MAX_HEADER];
        later.get_mut(..V4_HEADER)?.copy_from_slice(packet.get(..V4_HEADER)?);
        let later_header = copy_options(packet.get(V4_HEADER..header)?, &mut later)?;
        *later.first_mut()? = 0x40 | u8::try_from(later_header / 4).ok()?;
        Some(Self {
            packet,
            header,
            later,
            later_header,
            payload,
        })
    }

    /// How many there are, at least 1.
    #[must_use]
    pub fn count(&self) -> usize {
        (self.packet.len() - self.header).div_ceil(self.payload)
    }

    /// Bytes of fragment `index`; 0 past the last.
    #[must_use]
    pub fn len_of(&self, index: usize) -> usize {
        let header = if index == 0 { self.header } else { self.later_header };
        self.part(index).map_or(0, |part| header + part.len())
    }

    /// Writes fragment `index` into `room`, which has exactly its length. `None` when it has not, or there is no such fragment.
    pub fn write(&self, index: usize, room: &mut [u8]) -> Option<()> {
        let part = self.part(index)?;
        let header = if index == 0 {
            self.packet.get(..self.header)?
        } else {
            self.later.get(..self.later_header)?
        };
        if room.len() != header.len() + part.len() {
            return None;
        }
        let (head, body) = room.split_at_mut_checked(header.len())?;
        head.copy_from_slice(header);
        body.copy_from_slice(part);
        // The packet may be a fragment itself.
        let field = read(self.packet, 6)?;
        let offset = usize::from(field & OFFSET) + index * (self.payload / 8);
        let more = if index + 1 < self.count() { MORE } else { field & MORE };
        write(room, 6, u16::try_from(offset).ok()? | more)?;
        finish_v4(room, header.len(), room.len())
    }

    fn part(&self, index: usize) -> Option<&'a [u8]> {
        let from = self.header.checked_add(index.checked_mul(self.payload)?)?;
        let to = from.checked_add(self.payload)?.min(self.packet.len());
        self.packet.get(from..to).filter(|part| !part.is_empty())
    }
}

/// Copies what every fragment has; says how long the header became. `None` when the options contradict themselves.
fn copy_options(mut options: &[u8], later: &mut [u8; MAX_HEADER]) -> Option<usize> {
    let mut end = V4_HEADER;
    while let Some(kind) = options.first() {
        let length = match kind {
            0 => break,
            1 => 1,
            _ => usize::from(*options.get(1)?).max(2),
        };
        let (option, rest) = options.split_at_checked(length)?;
        if kind & COPIED != 0 {
            later.get_mut(end..end + length)?.copy_from_slice(option);
            end += length;
        }
        options = rest;
    }
    Some(end.next_multiple_of(4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sum;
    use proptest::prelude::*;

    fn packet(options: &[u8], payload: usize) -> Vec<u8> {
        let header = V4_HEADER + options.len();
        let mut packet = vec![
            0x40 | u8::try_from(header / 4).unwrap(),
            0,
            0,
            0,
            0x12,
            0x34,
            0,
            0,
            64,
            17,
            0,
            0,
        ];
        packet.extend([192, 0, 2, 1, 192, 0, 2, 2]);
        packet.extend(options);
        packet.extend((0..payload).map(|at| (at / 8) as u8));
        let total = packet.len();
        finish_v4(&mut packet, header, total).unwrap();
        packet
    }

    fn cut(packet: &[u8], limit: usize) -> Vec<Vec<u8>> {
        let fragments = Fragments::new(packet, limit).unwrap();
        let one = |index| {
            let mut room = vec![0; fragments.len_of(index)];
            fragments.write(index, &mut room).unwrap();
            room
        };
        let all = (0..fragments.count()).map(one).collect();
        assert_eq!(fragments.len_of(fragments.count()), 0);
        all
    }

    /// RFC 791 section 3.2, the other way round: identification, payload, and whether more is to come.
    fn join(fragments: &[Vec<u8>]) -> (Vec<u8>, usize, bool) {
        let (mut payload, mut more) = (Vec::new(), true);
        let first = usize::from(read(&fragments[0], 6).unwrap() & OFFSET) * 8;
        for fragment in fragments {
            let header = usize::from(fragment[0] & 0x0f) * 4;
            assert_eq!(Sum::default().bytes(&fragment[..header]).fold(), 0xffff);
            assert_eq!(usize::from(read(fragment, 2).unwrap()), fragment.len());
            assert_eq!(fragment[4..6], [0x12, 0x34]);
            assert!(more);
            let field = read(fragment, 6).unwrap();
            assert_eq!(usize::from(field & OFFSET) * 8, first + payload.len());
            more = field & MORE != 0;
            payload.extend(&fragment[header..]);
        }
        (payload, first, more)
    }

    #[test]
    fn options_go_with_the_first_fragment_or_with_all() {
        // Router alert is copied, record route is not.
        let options = [0x07, 7, 4, 0, 0, 0, 0, 0x94, 4, 0, 0, 0];
        let fragments = cut(&packet(&options, 100), 64);
        assert_eq!(fragments[0][20..32], options);
        assert_eq!((fragments[1][0], &fragments[1][20..24]), (0x46, &[0x94, 4, 0, 0][..]));
        assert_eq!(join(&fragments).0.len(), 100);
    }

    #[test]
    fn what_may_not_or_cannot_be_cut_is_left_alone() {
        let mut whole = packet(&[], 100);
        whole[6] = 0x40;
        assert!(Fragments::new(&whole, 64).is_none());
        assert!(Fragments::new(&packet(&[], 100), 27).is_none());
        assert!(Fragments::new(&packet(&[0x94, 200, 0, 0], 100), 64).is_none());
        assert!(Fragments::new(&packet(&[], 100)[..90], 64).is_none());
        assert!(Fragments::new(&[0x60; 100], 64).is_none());
        let mut past_the_end = packet(&[], 100);
        write(&mut past_the_end, 6, OFFSET - 11).unwrap();
        assert!(Fragments::new(&past_the_end, 64).is_none());
        write(&mut past_the_end, 6, OFFSET - 12).unwrap();
        assert!(Fragments::new(&past_the_end, 64).is_some());
        for length in 0..70 {
            for byte in 0..=255 {
                let _ = Fragments::new(&vec![byte; length], 64);
            }
        }
    }

    proptest! {
        #[test]
        fn fragments_are_the_packet(payload in 1usize..4000, limit in 68usize..1500, of: bool, second in 68usize..400) {
            let mut whole = packet(&[], payload);
            if of {
                // A fragment from the middle of a larger packet.
                write(&mut whole, 6, MORE | 100).unwrap();
                finish_v4(&mut whole, 20, 20 + payload).unwrap();
            }
            let fragments = cut(&whole, limit);
            prop_assert!(fragments.iter().all(|fragment| fragment.len() <= limit));
            let expected = (whole[20..].to_vec(), if of { 800 } else { 0 }, of);
            prop_assert_eq!(join(&fragments), expected.clone());
            let again: Vec<_> = fragments.iter().flat_map(|fragment| cut(fragment, second)).collect();
            prop_assert_eq!(join(&again), expected);
        }
    }
}
