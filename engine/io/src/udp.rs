//! The UDP socket of the engine, many datagrams a system call.

use crate::address::RawAddress;
use crate::{checked, socklen_of};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Most datagrams of one call.
pub const BATCH: usize = 32;
/// Wanted size of the kernel's buffers, bytes; the system's limit may give less.
const SOCKET_BUFFER: libc::c_int = 4 << 20;

/// One received datagram; its bytes are in the room given for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Bytes.
    pub len: usize,
    /// Sender; `None` when the kernel named none.
    pub from: Option<SocketAddr>,
    /// True when the datagram was longer than the room; what is there must not be used.
    pub truncated: bool,
}

/// A bound socket, for IPv4 and IPv6 where the system has both.
pub struct UdpPort {
    fd: OwnedFd,
    v6: bool,
    local: SocketAddr,
}

impl UdpPort {
    /// Binds every address. Port 0 lets the system choose.
    ///
    /// # Errors
    /// When the port is taken or not permitted.
    pub fn bind(port: u16) -> io::Result<Self> {
        match Self::open(libc::AF_INET6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) => {
                Self::open(libc::AF_INET, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
            }
            bound => bound,
        }
    }

    /// The port it is bound to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.local.port()
    }

    fn open(family: libc::c_int, local: SocketAddr) -> io::Result<Self> {
        let v6 = family == libc::AF_INET6;
        // SAFETY: takes no pointer; the result is checked before use.
        let fd = checked(unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: the kernel just gave us this descriptor and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        if v6 {
            set_int(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?;
        }
        for (forced, asked) in [
            (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
            (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
        ] {
            if set_int(&fd, libc::SOL_SOCKET, forced, SOCKET_BUFFER).is_err() {
                set_int(&fd, libc::SOL_SOCKET, asked, SOCKET_BUFFER)?;
            }
        }
        let (mut raw, length) =
            RawAddress::encode(local, v6).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: `raw` holds `length` initialised bytes of a socket address and lives across the call.
        checked(unsafe { libc::bind(fd.as_raw_fd(), raw.as_mut_ptr().cast(), length) })?;
        let bound = UdpSocket::from(fd);
        let local = bound.local_addr()?;
        Ok(Self {
            fd: bound.into(),
            v6,
            local,
        })
    }

    /// Receives what is there, into `rooms` in turn; says how many of `received` were filled. Never waits.
    ///
    /// # Errors
    /// When the socket is broken; nothing there is `Ok(0)`.
    pub fn recv_batch<'a>(
        &self,
        rooms: impl Iterator<Item = &'a mut [u8]>,
        received: &mut [Received; BATCH],
    ) -> io::Result<usize> {
        let mut addresses = [RawAddress::EMPTY; BATCH];
        let mut vectors = [EMPTY_VECTOR; BATCH];
        let mut headers = [const { empty_header() }; BATCH];
        let mut count = 0;
        for (((room, address), vector), header) in rooms.zip(&mut addresses).zip(&mut vectors).zip(&mut headers) {
            *vector = libc::iovec {
                iov_base: room.as_mut_ptr().cast(),
                iov_len: room.len(),
            };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = address.as_mut_ptr();
            header.msg_hdr.msg_namelen = RawAddress::ROOM;
            count += 1;
        }
        // SAFETY: the first `count` headers point to rooms, addresses and vectors that are distinct, writable for the
        // lengths given and alive across the call; a timeout is not given.
        let result = unsafe {
            libc::recvmmsg(
                self.fd.as_raw_fd(),
                headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let filled = match checked(result) {
            Ok(filled) => usize::try_from(filled).unwrap_or(0),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
            Err(error) => return Err(error),
        };
        for ((to, header), address) in received.iter_mut().zip(&headers).zip(&addresses).take(filled) {
            *to = Received {
                len: usize::try_from(header.msg_len).unwrap_or(0),
                from: address.decode(),
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            };
        }
        Ok(filled)
    }

    /// Sends up to [`BATCH`] datagrams, waiting for room in the socket's buffer; says how many the kernel took. One
    /// that it refuses (no route, filtered) is passed over.
    pub fn send_batch<'a>(&self, datagrams: impl Iterator<Item = (SocketAddr, &'a [u8])>) -> usize {
        let mut addresses = [RawAddress::EMPTY; BATCH];
        let mut vectors = [EMPTY_VECTOR; BATCH];
        let mut headers = [const { empty_header() }; BATCH];
        let mut count = 0;
        let encoded = datagrams.filter_map(|(to, bytes)| Some((RawAddress::encode(to, self.v6)?, bytes)));
        for (((((raw, length), bytes), address), vector), header) in
            encoded.zip(&mut addresses).zip(&mut vectors).zip(&mut headers)
        {
            *address = raw;
            *vector = libc::iovec {
                iov_base: bytes.as_ptr().cast_mut().cast(),
                iov_len: bytes.len(),
            };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = address.as_mut_ptr();
            header.msg_hdr.msg_namelen = length;
            count += 1;
        }
        let mut rest = headers.get_mut(..count).unwrap_or_default();
        let mut sent = 0;
        while !rest.is_empty() {
            let left = libc::c_uint::try_from(rest.len()).unwrap_or(0);
            // SAFETY: `rest` has `left` headers whose vectors and addresses are alive across the call; the kernel only
            // reads what they point to.
            let taken = checked(unsafe { libc::sendmmsg(self.fd.as_raw_fd(), rest.as_mut_ptr(), left, 0) });
            let passed = match taken {
                Ok(taken) => {
                    let taken = usize::try_from(taken).unwrap_or(0);
                    sent += taken;
                    taken.max(1)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(_) => 1,
            };
            rest = rest.get_mut(passed..).unwrap_or_default();
        }
        sent
    }
}

impl AsFd for UdpPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const EMPTY_VECTOR: libc::iovec = libc::iovec {
    iov_base: std::ptr::null_mut(),
    iov_len: 0,
};

const fn empty_header() -> libc::mmsghdr {
    // SAFETY: `mmsghdr` is plain data, for which all zeroes is a value (null pointers, zero lengths).
    unsafe { std::mem::zeroed() }
}

fn set_int(fd: &OwnedFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let pointer: *const libc::c_int = &value;
    // SAFETY: `pointer` points to one int, whose size is given, alive across the call.
    checked(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            option,
            pointer.cast(),
            socklen_of::<libc::c_int>(),
        )
    })
    .map(drop)
}
