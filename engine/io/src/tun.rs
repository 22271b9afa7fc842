//! TUN interfaces: IP packets, or super-packets with a virtio header where the kernel has them, one a read or write.

use crate::checked;
use cvlan_offload::{Offload, VNET_BYTES, Vnet};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Why there is no interface, and what to do about it.
#[derive(Debug)]
pub enum TunError {
    /// `/dev/net/tun` is not there.
    NoDevice,
    /// The process lacks the privilege.
    NotPermitted,
    /// There is an interface of the name already.
    Busy(String),
    /// Not a name of an interface.
    BadName(String),
    /// Anything else.
    Io(io::Error),
}

impl std::fmt::Display for TunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoDevice => f.write_str(
                "/dev/net/tun is missing: load the module (`modprobe tun`), or in a container pass the device \
                 (`--device /dev/net/tun`)",
            ),
            Self::NotPermitted => f.write_str(
                "not permitted to make a TUN interface: run as root or grant CAP_NET_ADMIN in this network namespace",
            ),
            Self::Busy(name) => {
                write!(
                    f,
                    "interface {name} is there already: end the process that holds it (or `ip link delete {name}`), or set another \
                     interface_name"
                )
            }
            Self::BadName(name) => write!(
                f,
                "{name:?} is no interface name: use 1 to 15 of the bytes a-z A-Z 0-9 _ . -"
            ),
            Self::Io(error) => write!(f, "TUN interface: {error}"),
        }
    }
}

impl std::error::Error for TunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// From the most to nothing: what an older kernel refuses is asked for without.
const LADDER: [Offload; 3] = [Offload::TcpUdp, Offload::Tcp, Offload::None];

/// The bits of `TUNSETOFFLOAD`.
fn bits(offload: Offload) -> libc::c_uint {
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    match offload {
        Offload::None => 0,
        Offload::Tcp => tcp,
        Offload::TcpUdp => tcp | libc::TUN_F_USO4 | libc::TUN_F_USO6,
    }
}

/// A TUN interface, gone when dropped.
pub struct Tun {
    file: File,
    offload: Offload,
}

/// Most pieces of one written packet: a head and the payloads of a train.
pub const MAX_PIECES: usize = cvlan_offload::MAX_TRAIN;

impl Tun {
    /// Makes the interface `name`, down and without addresses. One that is there already is never taken over: its
    /// addresses and routes are somebody else's. It offloads at most `most`, and less where the kernel is older.
    ///
    /// # Errors
    /// [`TunError`] says what to do.
    pub fn create(name: &str, most: Offload) -> Result<Self, TunError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || !name.bytes().all(allowed) || matches!(name, "." | "..") {
            return Err(TunError::BadName(name.to_owned()));
        }
        let mut steps = LADDER.into_iter().filter(|step| *step <= most).peekable();
        loop {
            let Some(step) = steps.next() else {
                return Err(TunError::Io(io::ErrorKind::InvalidInput.into()));
            };
            match Self::open(name, step) {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) && steps.peek().is_some() => {}
                result => return result.map_err(|error| explain(error, name)),
            }
        }
    }

    fn open(name: &str, offload: Offload) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open("/dev/net/tun")?;
        // SAFETY: `ifreq` is plain data, for which all zeroes is a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        let vnet = if offload == Offload::None {
            0
        } else {
            libc::IFF_VNET_HDR
        };
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_TUN_EXCL | vnet) as libc::c_short;
        // SAFETY: TUNSETIFF reads and writes one `ifreq`, which lives across the call.
        checked(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &mut request) })?;
        if offload != Offload::None {
            let bits = libc::c_ulong::from(bits(offload));
            // SAFETY: TUNSETOFFLOAD takes its bits by value.
            checked(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD as _, bits) })?;
        }
        Ok(Self { file, offload })
    }

    /// Takes the interface `name` from the process that made it, by its descriptor: addresses, routes and what waits in it stay.
    ///
    /// # Errors
    /// When the descriptor is of something else.
    pub fn adopt(fd: OwnedFd, name: &str) -> io::Result<Self> {
        let strange = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        // SAFETY: `ifreq` is plain data, for which all zeroes is a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        // SAFETY: TUNGETIFF writes one `ifreq`, which lives across the call.
        checked(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNGETIFF as _, &mut request) })?;
        let held = request.ifr_name.iter().map(|byte| byte.cast_unsigned());
        if !held.take_while(|byte| *byte != 0).eq(name.bytes()) {
            return Err(strange("the interface that was handed over has another name"));
        }
        // SAFETY: the call succeeded, so the kernel wrote this member; a short has no invalid values.
        let flags = libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags });
        if flags & libc::IFF_TUN == 0 || flags & libc::IFF_NO_PI == 0 {
            return Err(strange("the interface that was handed over gives no bare IP packets"));
        }
        let file = File::from(fd);
        if flags & libc::IFF_VNET_HDR == 0 {
            return Ok(Self {
                file,
                offload: Offload::None,
            });
        }
        // Asked for again, so that what is agreed is what this process makes use of.
        let mut refused = strange("the interface that was handed over offloads nothing that is made use of");
        for step in LADDER.into_iter().filter(|step| *step != Offload::None) {
            let bits = libc::c_ulong::from(bits(step));
            // SAFETY: TUNSETOFFLOAD takes its bits by value.
            match checked(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD as _, bits) }) {
                Ok(_) => return Ok(Self { file, offload: step }),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Takes a descriptor that gives and takes one IP packet at a time: a TUN that somebody else made, or one end of a
    /// datagram socket pair.
    ///
    /// # Errors
    /// When the descriptor cannot be made non-blocking.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: F_GETFL takes no further argument; `fd` is open.
        let flags = checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
        // SAFETY: F_SETFL takes an int; `fd` is open.
        checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
        Ok(Self {
            file: File::from(fd),
            offload: Offload::None,
        })
    }

    /// What was agreed with the kernel.
    #[must_use]
    pub fn offload(&self) -> Offload {
        self.offload
    }

    /// Reads one packet, of up to [`cvlan_offload::MAX_PACKET`] bytes where there is an offload; `None` when there is none now.
    ///
    /// # Errors
    /// When the interface is gone, or speaks of a kind of super-packet that was never asked for.
    pub fn read(&self, room: &mut [u8]) -> io::Result<Option<(Vnet, usize)>> {
        let mut header = [0; VNET_BYTES];
        let result = match self.offload {
            Offload::None => (&self.file).read(room),
            Offload::Tcp | Offload::TcpUdp => {
                (&self.file).read_vectored(&mut [IoSliceMut::new(&mut header), IoSliceMut::new(room)])
            }
        };
        let length = match result {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the interface was closed")),
            Ok(length) => length,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if self.offload == Offload::None {
            return Ok(Some((Vnet::NONE, length)));
        }
        let strange = || {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the interface gave an unknown kind of packet",
            )
        };
        let vnet = Vnet::parse(&header).ok_or_else(strange)?;
        Ok(Some((vnet, length.checked_sub(VNET_BYTES).ok_or_else(strange)?)))
    }

    /// Writes one packet, given in at most [`MAX_PIECES`] pieces. `vnet` must be [`Vnet::NONE`] where nothing was agreed.
    ///
    /// # Errors
    /// When the interface is down or its queue full; the packet is lost then. When a header is given that it has no place for.
    pub fn write<'a>(&self, vnet: Vnet, pieces: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        let header = vnet.to_bytes();
        let mut slices = [IoSlice::new(&[]); MAX_PIECES + 1];
        let mut count = 0;
        if self.offload == Offload::None {
            if vnet != Vnet::NONE {
                return Err(io::ErrorKind::Unsupported.into());
            }
        } else if let Some(first) = slices.first_mut() {
            *first = IoSlice::new(&header);
            count = 1;
        }
        for (slice, piece) in slices.iter_mut().skip(count).zip(pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        let slices = slices.get(..count).unwrap_or_default();
        (&self.file).write_vectored(slices).map(drop)
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn explain(error: io::Error, name: &str) -> TunError {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => TunError::NoDevice,
        Some(libc::EPERM | libc::EACCES) => TunError::NotPermitted,
        Some(libc::EBUSY | libc::EEXIST) => TunError::Busy(name.to_owned()),
        _ => TunError::Io(error),
    }
}
