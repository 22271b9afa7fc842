//! TUN interfaces: plain IP packets, one a read or write (`IFF_NO_PI`).

use crate::checked;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
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

/// A TUN interface, gone when dropped.
pub struct Tun {
    file: File,
}

impl Tun {
    /// Makes the interface `name`, down and without addresses. One that is there already is never taken over: its
    /// addresses and routes are somebody else's.
    ///
    /// # Errors
    /// [`TunError`] says what to do.
    pub fn create(name: &str) -> Result<Self, TunError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || !name.bytes().all(allowed) || matches!(name, "." | "..") {
            return Err(TunError::BadName(name.to_owned()));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open("/dev/net/tun")
            .map_err(|error| explain(error, name))?;
        // SAFETY: `ifreq` is plain data, for which all zeroes is a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_TUN_EXCL) as libc::c_short;
        // SAFETY: TUNSETIFF reads and writes one `ifreq`, which lives across the call.
        checked(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &mut request) })
            .map_err(|error| explain(error, name))?;
        Ok(Self { file })
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
        Ok(Self { file: File::from(fd) })
    }

    /// Reads one packet; `None` when there is none now.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn read(&self, room: &mut [u8]) -> io::Result<Option<usize>> {
        match (&self.file).read(room) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the interface was closed")),
            Ok(length) => Ok(Some(length)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes one packet.
    ///
    /// # Errors
    /// When the interface is down or its queue full; the packet is lost then.
    pub fn write(&self, packet: &[u8]) -> io::Result<()> {
        (&self.file).write(packet).map(drop)
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
