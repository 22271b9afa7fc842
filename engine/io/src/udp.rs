//! The UDP socket of the engine, many datagrams a system call.

use crate::address::RawAddress;
use crate::control::Control;
use crate::{checked, socklen_of};
use cvlan_offload::Ecn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most messages of one call, each a datagram or a run of them.
pub const BATCH: usize = 64;
/// Most datagrams of one message (`UDP_MAX_SEGMENTS` of the older kernels).
const MAX_SEGMENTS: usize = 64;
/// Most bytes of one message: what a datagram of IPv4 may carry.
const MAX_MESSAGE: usize = 65_507;
/// Wanted size of the kernel's buffers, bytes; the system's limit may give less.
const SOCKET_BUFFER: libc::c_int = 4 << 20;

/// What one message brought: a datagram, or several of one sender and one size, back to back; its bytes are in the room given for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Bytes.
    pub len: usize,
    /// Bytes of each datagram; the last may be shorter. That of a single one is `len`.
    pub segment: usize,
    /// Sender; `None` when the kernel named none.
    pub from: Option<SocketAddr>,
    /// ECN bits of the IP header.
    pub ecn: Ecn,
    /// True when there was more than the room holds; what is there must not be used.
    pub truncated: bool,
}

impl Received {
    /// Datagrams.
    #[must_use]
    pub fn count(&self) -> usize {
        self.len.div_ceil(self.segment.max(1)).max(1)
    }
}

/// Datagrams of one size for one address, back to back.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Destination.
    pub to: SocketAddr,
    /// All of them.
    pub bytes: &'a [u8],
    /// Bytes of each; the last may be shorter.
    pub segment: usize,
    /// ECN bits of the IP header.
    pub ecn: Ecn,
}

impl<'a> Run<'a> {
    /// A single datagram.
    #[must_use]
    pub fn one(to: SocketAddr, bytes: &'a [u8]) -> Self {
        Self {
            to,
            bytes,
            segment: bytes.len(),
            ecn: Ecn::NotCapable,
        }
    }

    fn count(&self) -> usize {
        self.bytes.len().div_ceil(self.segment.max(1)).max(1)
    }

    /// In pieces of at most `most` datagrams that one message can carry.
    fn pieces(self, most: usize) -> impl Iterator<Item = Self> {
        let segment = self.segment.max(1);
        let fit = (MAX_MESSAGE / segment).clamp(1, most);
        self.bytes
            .chunks(fit.saturating_mul(segment))
            .map(move |bytes| Self { bytes, ..self })
    }
}

/// What became of the datagrams of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Datagrams that the kernel took.
    pub taken: u64,
    /// Datagrams that it refused: no route, filtered.
    pub refused: u64,
    /// The first address whose path is too narrow for what was sent there, which went in fragments; [`crate::known_path_mtu`] says how narrow.
    pub narrow: Option<SocketAddr>,
}

/// A bound socket, for IPv4 and IPv6 where the system has both.
pub struct UdpPort {
    fd: OwnedFd,
    v6: bool,
    local: SocketAddr,
    /// The kernel cuts runs up; false from the first path on that cannot.
    segments: AtomicBool,
    /// Held while datagrams may be cut into fragments, and while one is sent that must not be.
    cutting: Mutex<()>,
}

impl UdpPort {
    /// Binds every address. Port 0 lets the system choose. Datagrams are put together and cut up by the kernel where it
    /// can, unless `offload` is false.
    ///
    /// # Errors
    /// When the port is taken or not permitted.
    pub fn bind(port: u16, offload: bool) -> io::Result<Self> {
        match Self::open(libc::AF_INET6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), offload) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) => {
                Self::open(libc::AF_INET, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), offload)
            }
            bound => bound,
        }
    }

    /// Takes a socket of [`UdpPort::bind`] from the process that bound it; what waits in it stays.
    ///
    /// # Errors
    /// When it is no bound UDP socket.
    pub fn adopt(fd: OwnedFd) -> io::Result<Self> {
        if int(&fd, libc::SOL_SOCKET, libc::SO_PROTOCOL)? != libc::IPPROTO_UDP {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "what was handed over is no UDP socket",
            ));
        }
        let segments = int(&fd, libc::SOL_UDP, libc::UDP_SEGMENT).is_ok();
        let v6 = int(&fd, libc::SOL_SOCKET, libc::SO_DOMAIN)? == libc::AF_INET6;
        let bound = UdpSocket::from(fd);
        let local = bound.local_addr()?;
        if local.port() == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the UDP socket that was handed over is not bound",
            ));
        }
        let port = Self {
            fd: bound.into(),
            v6,
            local,
            segments: AtomicBool::new(segments),
            cutting: Mutex::default(),
        };
        port.let_cut(false);
        Ok(port)
    }

    /// Marks what is sent, for the routing policy of the host (`SO_MARK`); 0 is no mark.
    ///
    /// # Errors
    /// Without CAP_NET_ADMIN.
    pub fn set_mark(&self, mark: u32) -> io::Result<()> {
        set_int(&self.fd, libc::SOL_SOCKET, libc::SO_MARK, mark.cast_signed())
    }

    /// The port it is bound to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.local.port()
    }

    fn open(family: libc::c_int, local: SocketAddr, offload: bool) -> io::Result<Self> {
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
        // What a kernel does not know is done without: no ECN from there, datagrams one by one.
        let _ = set_int(&fd, libc::SOL_IP, libc::IP_RECVTOS, 1);
        if v6 {
            let _ = set_int(&fd, libc::SOL_IPV6, libc::IPV6_RECVTCLASS, 1);
        }
        if offload {
            let _ = set_int(&fd, libc::SOL_UDP, libc::UDP_GRO, 1);
        }
        let segments = offload && set_int(&fd, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok();
        let (mut raw, length) =
            RawAddress::encode(local, v6).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: `raw` holds `length` initialised bytes of a socket address and lives across the call.
        checked(unsafe { libc::bind(fd.as_raw_fd(), raw.as_mut_ptr().cast(), length) })?;
        let bound = UdpSocket::from(fd);
        let local = bound.local_addr()?;
        let port = Self {
            fd: bound.into(),
            v6,
            local,
            segments: AtomicBool::new(segments),
            cutting: Mutex::default(),
        };
        port.let_cut(false);
        Ok(port)
    }

    /// Says whether routers, and the kernel, may cut datagrams into fragments. It is a matter of the whole socket.
    fn let_cut(&self, may: bool) {
        let discover = |never, want| if may { want } else { never };
        // What a kernel does not know is done without: it decides itself then (RFC 1191, RFC 8201).
        let v4 = discover(libc::IP_PMTUDISC_DO, libc::IP_PMTUDISC_WANT);
        let _ = set_int(&self.fd, libc::SOL_IP, libc::IP_MTU_DISCOVER, v4);
        if self.v6 {
            let v6 = discover(libc::IPV6_PMTUDISC_DO, libc::IPV6_PMTUDISC_WANT);
            let _ = set_int(&self.fd, libc::SOL_IPV6, libc::IPV6_MTU_DISCOVER, v6);
        }
    }

    fn hold_cutting(&self) -> MutexGuard<'_, ()> {
        self.cutting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one datagram that arrives whole or not at all; false when the kernel knows that the path is too narrow.
    ///
    /// # Errors
    /// What else the kernel refuses.
    pub fn send_whole(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<bool> {
        let _held = self.hold_cutting();
        match self.send_single(to, bytes) {
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => Ok(false),
            sent => sent.map(|()| true),
        }
    }

    fn send_single(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let (raw, length) =
            RawAddress::encode(to, self.v6).ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        let socket = self.fd.as_raw_fd();
        let (at, length_of) = (bytes.as_ptr().cast(), bytes.len());
        loop {
            // SAFETY: the address has `length` initialised bytes and the datagram its own length; the kernel only reads them.
            let sent = unsafe { libc::sendto(socket, at, length_of, 0, raw.as_ptr().cast(), length) };
            if sent >= 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    /// Sends a datagram that is known to be too long for its path, in fragments.
    fn send_cut(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let _held = self.hold_cutting();
        self.let_cut(true);
        let sent = self.send_single(to, bytes);
        self.let_cut(false);
        sent
    }

    /// Whether runs still go to the kernel whole.
    #[must_use]
    pub fn sends_runs(&self) -> bool {
        self.segments.load(Ordering::Relaxed)
    }

    /// Receives what is there, into `rooms` in turn; says how many of `received` were filled. Never waits. A room
    /// should hold 65,535 bytes, since the kernel puts datagrams together up to there.
    ///
    /// # Errors
    /// When the socket is broken; nothing there is `Ok(0)`.
    pub fn recv_batch<'a>(
        &self,
        rooms: impl Iterator<Item = &'a mut [u8]>,
        received: &mut [Received; BATCH],
    ) -> io::Result<usize> {
        let mut addresses = [RawAddress::EMPTY; BATCH];
        let mut controls = [Control::EMPTY; BATCH];
        let mut vectors = [EMPTY_VECTOR; BATCH];
        let mut headers = [const { empty_header() }; BATCH];
        let mut count = 0;
        let places = addresses
            .iter_mut()
            .zip(&mut controls)
            .zip(&mut vectors)
            .zip(&mut headers);
        for (room, (((address, control), vector), header)) in rooms.zip(places) {
            *vector = libc::iovec {
                iov_base: room.as_mut_ptr().cast(),
                iov_len: room.len(),
            };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = address.as_mut_ptr();
            header.msg_hdr.msg_namelen = RawAddress::ROOM;
            let (at, room) = control.room();
            header.msg_hdr.msg_control = at;
            header.msg_hdr.msg_controllen = room;
            count += 1;
        }
        // SAFETY: the first `count` headers point to rooms, addresses, controls and vectors that are distinct, writable for the
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
        let filled_in = headers.iter().zip(&addresses).zip(&controls).take(filled);
        for (to, ((header, address), control)) in received.iter_mut().zip(filled_in) {
            let len = usize::try_from(header.msg_len).unwrap_or(0);
            let beside = control.read(header.msg_hdr.msg_controllen);
            *to = Received {
                len,
                segment: beside.segment.filter(|segment| *segment > 0).unwrap_or(len),
                from: address.decode(),
                ecn: beside.ecn,
                truncated: header.msg_hdr.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0,
            };
        }
        Ok(filled)
    }

    /// Sends runs, waiting for room in the socket's buffer. What the kernel refuses is passed over. A run that it cannot
    /// cut up, because of the way there, goes as single datagrams.
    pub fn send_batch<'a>(&self, runs: impl Iterator<Item = Run<'a>>) -> Sent {
        let mut sent = Sent::default();
        let most = if self.sends_runs() { MAX_SEGMENTS } else { 1 };
        let mut pieces = runs.flat_map(|run| run.pieces(most));
        let mut batch = [None; BATCH];
        loop {
            let mut count = 0;
            for (place, piece) in batch.iter_mut().zip(pieces.by_ref()) {
                *place = Some(piece);
                count += 1;
            }
            self.send_pieces(batch.iter().take(count).flatten(), &mut sent);
            if count < BATCH {
                return sent;
            }
        }
    }

    /// At most [`BATCH`] pieces.
    fn send_pieces<'a>(&self, pieces: impl Iterator<Item = &'a Run<'a>> + Clone, sent: &mut Sent) {
        let mut addresses = [RawAddress::EMPTY; BATCH];
        let mut controls = [Control::EMPTY; BATCH];
        let mut vectors = [EMPTY_VECTOR; BATCH];
        let mut headers = [const { empty_header() }; BATCH];
        let mut count = 0;
        let encoded = pieces.filter_map(|run| match RawAddress::encode(run.to, self.v6) {
            Some(address) => Some((run, address)),
            None => {
                sent.refused += run.count() as u64;
                None
            }
        });
        let mut taken_up = [None; BATCH];
        let places = addresses
            .iter_mut()
            .zip(&mut controls)
            .zip(&mut vectors)
            .zip(&mut headers);
        for ((run, (raw, length)), ((((address, control), vector), header), place)) in
            encoded.zip(places.zip(&mut taken_up))
        {
            *place = Some(run);
            *address = raw;
            *vector = libc::iovec {
                iov_base: run.bytes.as_ptr().cast_mut().cast(),
                iov_len: run.bytes.len(),
            };
            if run.count() > 1 {
                control.segment(u16::try_from(run.segment).unwrap_or(u16::MAX));
            }
            if run.ecn != Ecn::NotCapable {
                control.ecn(run.ecn, run.to.ip().to_canonical().is_ipv4());
            }
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = address.as_mut_ptr();
            header.msg_hdr.msg_namelen = length;
            let (at, room) = control.sent();
            header.msg_hdr.msg_control = at;
            header.msg_hdr.msg_controllen = room;
            count += 1;
        }
        let mut rest = headers.get_mut(..count).unwrap_or_default();
        let mut runs = taken_up.iter().flatten();
        while !rest.is_empty() {
            let left = libc::c_uint::try_from(rest.len()).unwrap_or(0);
            // SAFETY: `rest` has `left` headers whose vectors, controls and addresses are alive across the call; the kernel
            // only reads what they point to.
            let taken = checked(unsafe { libc::sendmmsg(self.fd.as_raw_fd(), rest.as_mut_ptr(), left, 0) });
            let passed = match taken {
                Ok(taken) => {
                    let taken = usize::try_from(taken).unwrap_or(0).max(1);
                    sent.taken += runs.by_ref().take(taken).map(|run| run.count() as u64).sum::<u64>();
                    taken
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(error) => {
                    if let Some(run) = runs.next() {
                        self.refused(run, &error, sent);
                    }
                    1
                }
            };
            rest = rest.get_mut(passed..).unwrap_or_default();
        }
    }

    /// The kernel would not send a run.
    fn refused(&self, run: &Run<'_>, error: &io::Error, sent: &mut Sent) {
        let code = error.raw_os_error();
        if run.count() > 1 && matches!(code, Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE)) {
            // EIO: the device sums nothing up itself, and will not next time. The others: this path is too narrow for the
            // segments, or transforms packets.
            if code == Some(libc::EIO) {
                self.segments.store(false, Ordering::Relaxed);
            } else {
                sent.narrow.get_or_insert(run.to);
            }
            let mut singles = run.pieces(1);
            loop {
                let mut batch = [None; BATCH];
                batch
                    .iter_mut()
                    .zip(singles.by_ref())
                    .for_each(|(place, one)| *place = Some(one));
                if batch[0].is_none() {
                    return;
                }
                self.send_pieces(batch.iter().flatten(), sent);
            }
        }
        if code == Some(libc::EMSGSIZE) {
            sent.narrow.get_or_insert(run.to);
            if self.send_cut(run.to, run.bytes).is_ok() {
                sent.taken += 1;
                return;
            }
        }
        sent.refused += run.count() as u64;
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

pub(crate) fn set_int(fd: &OwnedFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
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

fn int(fd: &OwnedFd, level: libc::c_int, option: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = socklen_of::<libc::c_int>();
    let pointer: *mut libc::c_int = &mut value;
    // SAFETY: `pointer` points to one int, whose size is given in `length`; both are alive and writable across the call.
    checked(unsafe { libc::getsockopt(fd.as_raw_fd(), level, option, pointer.cast(), &mut length) })?;
    Ok(value)
}
