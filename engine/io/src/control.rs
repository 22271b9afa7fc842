//! Control messages beside datagrams (`cmsg(3)`), as bytes.

use cvlan_offload::Ecn;

const ALIGN: usize = size_of::<usize>();
/// `struct cmsghdr`: a length of the size of a pointer, level and type.
const HEADER: usize = size_of::<usize>() + 2 * size_of::<libc::c_int>();
/// Room for two messages of one number each, sent; the kernel may add nothing else when receiving.
const ROOM: usize = 2 * (HEADER + ALIGN);

/// Control messages of one datagram.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct Control {
    bytes: [u8; ROOM],
    used: usize,
}

/// What the kernel said beside a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Bytes of each of the datagrams that were put together; `None` for one datagram.
    pub segment: Option<usize>,
    pub ecn: Ecn,
}

impl Control {
    pub const EMPTY: Self = Self {
        bytes: [0; ROOM],
        used: 0,
    };

    /// Cut `segment` bytes each out of what is sent (`UDP_SEGMENT`).
    pub fn segment(&mut self, segment: u16) {
        self.push(libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
    }

    /// Send with these ECN bits; `v4` says what the destination is.
    pub fn ecn(&mut self, ecn: Ecn, v4: bool) {
        let (level, kind) = if v4 {
            (libc::SOL_IP, libc::IP_TOS)
        } else {
            (libc::SOL_IPV6, libc::IPV6_TCLASS)
        };
        self.push(level, kind, &libc::c_int::from(ecn.bits()).to_ne_bytes());
    }

    fn push(&mut self, level: libc::c_int, kind: libc::c_int, data: &[u8]) {
        let length = HEADER + data.len();
        let Some(room) = self.bytes.get_mut(self.used..self.used + HEADER + ALIGN) else {
            return;
        };
        let header = length.to_ne_bytes().into_iter();
        let header = header.chain(level.to_ne_bytes()).chain(kind.to_ne_bytes());
        for (to, from) in room.iter_mut().zip(header.chain(data.iter().copied())) {
            *to = from;
        }
        self.used += HEADER + ALIGN;
    }

    /// Where the messages are, and how many bytes; null when there are none.
    pub fn sent(&mut self) -> (*mut libc::c_void, usize) {
        match self.used {
            0 => (std::ptr::null_mut(), 0),
            used => (self.bytes.as_mut_ptr().cast(), used),
        }
    }

    /// Room for what the kernel says.
    pub fn room(&mut self) -> (*mut libc::c_void, usize) {
        (self.bytes.as_mut_ptr().cast(), ROOM)
    }

    /// Reads what the kernel wrote, `length` bytes.
    pub fn read(&self, length: usize) -> Beside {
        let mut beside = Beside::default();
        let mut rest = self.bytes.get(..length).unwrap_or_default();
        while let Some((message, level, kind)) = header(rest) {
            let Some(data) = rest.get(HEADER..message) else { break };
            match (level, kind) {
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    beside.segment = number(data).and_then(|number| usize::try_from(number).ok());
                }
                // One byte in IPv4 (ip_cmsg_recv_tos), a number in IPv6.
                (libc::SOL_IP, libc::IP_TOS) => beside.ecn = Ecn::of_class(*data.first().unwrap_or(&0)),
                (libc::SOL_IPV6, libc::IPV6_TCLASS) => {
                    let class = number(data).unwrap_or(0).to_le_bytes();
                    beside.ecn = Ecn::of_class(class[0]);
                }
                _ => {}
            }
            rest = rest.get(message.next_multiple_of(ALIGN)..).unwrap_or_default();
        }
        beside
    }
}

fn header(bytes: &[u8]) -> Option<(usize, libc::c_int, libc::c_int)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (level, rest) = rest.split_first_chunk()?;
    let length = usize::from_ne_bytes(*length);
    let whole = (HEADER..=bytes.len()).contains(&length);
    whole.then_some((
        length,
        libc::c_int::from_ne_bytes(*level),
        libc::c_int::from_ne_bytes(*rest.first_chunk()?),
    ))
}

fn number(data: &[u8]) -> Option<libc::c_int> {
    Some(libc::c_int::from_ne_bytes(*data.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_where_the_kernel_looks_for_them() {
        let mut control = Control::EMPTY;
        assert_eq!(control.sent().1, 0);
        control.segment(1200);
        control.ecn(Ecn::Capable0, false);
        // SAFETY: CMSG_SPACE only computes.
        let space = unsafe { libc::CMSG_SPACE(2) } as usize;
        assert_eq!(control.sent().1, 2 * space);
        assert_eq!(control.read(2 * space).ecn, Ecn::Capable0);
    }

    #[test]
    fn any_bytes_are_survived() {
        for byte in 0..=255 {
            let control = Control {
                bytes: [byte; ROOM],
                used: 0,
            };
            for length in 0..=ROOM {
                control.read(length);
            }
        }
    }
}
