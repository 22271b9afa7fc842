//! Capture of the frames of one interface (`AF_PACKET`).

use crate::{checked, socklen_of};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Every protocol, in network order as the kernel wants it.
const ALL: u16 = (libc::ETH_P_ALL as u16).to_be();
const SOCKET_BUFFER: libc::c_int = 16 << 20;

/// Sees every frame that an interface sends or receives, from its network header on.
pub struct Capture {
    fd: OwnedFd,
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Bytes that were kept.
    pub kept: usize,
    /// Bytes that the frame had, without its link header.
    pub length: usize,
    /// What the link header calls it, for example 0x0800.
    pub ethertype: u16,
}

impl Capture {
    /// Opens the interface.
    ///
    /// # Errors
    /// When there is no such interface or `CAP_NET_RAW` is missing.
    pub fn open(interface: &str) -> io::Result<Self> {
        let name = CString::new(interface).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: `name` is a terminated string, alive across the call.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: takes no pointer; the result is checked before use. Protocol 0 receives nothing until bound.
        let fd = checked(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
        // SAFETY: the kernel just gave us this descriptor and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let buffer: *const libc::c_int = &SOCKET_BUFFER;
        let option = libc::SO_RCVBUFFORCE;
        // SAFETY: `buffer` points to one int, whose size is given, alive across the call. A refusal leaves the default.
        unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                buffer.cast(),
                socklen_of::<libc::c_int>(),
            )
        };
        let mut link = empty_link();
        link.sll_family = libc::AF_PACKET as u16;
        link.sll_protocol = ALL;
        link.sll_ifindex = libc::c_int::try_from(index).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let address: *const libc::sockaddr_ll = &link;
        // SAFETY: `address` points to one `sockaddr_ll`, whose size is given, alive across the call.
        checked(unsafe { libc::bind(fd.as_raw_fd(), address.cast(), socklen_of::<libc::sockaddr_ll>()) })?;
        Ok(Self { fd })
    }

    /// Takes one frame, without its link header; `None` when there is none now.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn read(&self, room: &mut [u8]) -> io::Result<Option<Captured>> {
        let mut link = empty_link();
        let mut link_length = socklen_of::<libc::sockaddr_ll>();
        let address: *mut libc::sockaddr_ll = &mut link;
        // SAFETY: `room`, `address` and its length are writable for the sizes given and alive across the call.
        let result = unsafe {
            let data = room.as_mut_ptr().cast();
            libc::recvfrom(
                self.fd.as_raw_fd(),
                data,
                room.len(),
                libc::MSG_TRUNC,
                address.cast(),
                &mut link_length,
            )
        };
        match usize::try_from(result) {
            Ok(length) => {
                let ethertype = u16::from_be(link.sll_protocol);
                Ok(Some(Captured {
                    kept: length.min(room.len()),
                    length,
                    ethertype,
                }))
            }
            Err(_) => match io::Error::last_os_error() {
                error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
                error => Err(error),
            },
        }
    }
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn empty_link() -> libc::sockaddr_ll {
    // SAFETY: `sockaddr_ll` is plain data, for which all zeroes is a value.
    unsafe { std::mem::zeroed() }
}
