//! What one process hands to another on the same machine: sealed memory and open descriptors.

use crate::checked;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Descriptors of one message at most.
pub const MAX_DESCRIPTORS: usize = 16;

/// Nothing may be written, neither length nor seals may change any more.
const SEALS: libc::c_int = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;

const INT: usize = size_of::<libc::c_int>();
/// `struct cmsghdr` (`cmsg(3)`): a length of the size of a pointer, level and type.
const HEADER: usize = size_of::<usize>() + 2 * INT;

/// Room for one control message with descriptors, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Room([u8; HEADER + MAX_DESCRIPTORS * INT]);

/// Memory without a name in any file system (`memfd_create(2)`); gone with its last descriptor.
///
/// # Errors
/// When the process has no descriptors left.
pub fn anonymous_memory() -> io::Result<File> {
    // SAFETY: the name is a string that ends with a zero byte; the result is checked before use.
    let fd = checked(unsafe { libc::memfd_create(c"cvlan".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) })?;
    // SAFETY: the kernel just gave us this descriptor and nobody else knows it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// From here on nobody can change what is in it.
///
/// # Errors
/// When it is no memory of [`anonymous_memory`], or is sealed already.
pub fn seal(memory: &File) -> io::Result<()> {
    // SAFETY: F_ADD_SEALS takes an int; the descriptor is open.
    checked(unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_ADD_SEALS, SEALS) }).map(drop)
}

/// Whether nobody can change what is in it. A file of a disk never is.
#[must_use]
pub fn is_sealed(memory: &File) -> bool {
    // SAFETY: F_GET_SEALS takes nothing; the descriptor is open.
    let seals = checked(unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_GET_SEALS) });
    seals.is_ok_and(|seals| seals & SEALS == SEALS)
}

/// The clock that [`std::time::Instant`] reads, the same for all processes of the machine.
#[must_use]
pub fn monotonic() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one `timespec`, which lives across the call; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

/// Sends bytes and descriptors (`SCM_RIGHTS`, unix(7)) in one message over a connected unix socket.
///
/// # Errors
/// When the other end is gone, when not all bytes were taken at once, or for more than [`MAX_DESCRIPTORS`].
pub fn send_descriptors(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if descriptors.len() > MAX_DESCRIPTORS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut room = Room([0; HEADER + MAX_DESCRIPTORS * INT]);
    let used = HEADER + descriptors.len() * INT;
    let header = used.to_ne_bytes().into_iter();
    let header = header
        .chain(libc::SOL_SOCKET.to_ne_bytes())
        .chain(libc::SCM_RIGHTS.to_ne_bytes());
    let numbers = descriptors.iter().flat_map(|one| one.as_raw_fd().to_ne_bytes());
    for (to, from) in room.0.iter_mut().zip(header.chain(numbers)) {
        *to = from;
    }
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let mut message = empty_message();
    message.msg_iov = &mut vector;
    message.msg_iovlen = 1;
    if !descriptors.is_empty() {
        message.msg_control = room.0.as_mut_ptr().cast();
        message.msg_controllen = used;
    }
    // SAFETY: vector, bytes and control message are alive across the call with the lengths given, and only read.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL) };
    match usize::try_from(sent) {
        Ok(sent) if sent == bytes.len() => Ok(()),
        Ok(_) => Err(io::ErrorKind::WriteZero.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Receives what is there, at most `room` bytes: how many, 0 at the end; descriptors that came with them are added.
///
/// # Errors
/// When nothing comes in the socket's time, or more descriptors than [`MAX_DESCRIPTORS`] came.
pub fn receive_descriptors(
    socket: BorrowedFd<'_>,
    room: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut control = Room([0; HEADER + MAX_DESCRIPTORS * INT]);
    let mut vector = libc::iovec {
        iov_base: room.as_mut_ptr().cast(),
        iov_len: room.len(),
    };
    let mut message = empty_message();
    message.msg_iov = &mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    // SAFETY: vector, room and control are alive and writable across the call for the lengths given.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC) };
    let Ok(received) = usize::try_from(received) else {
        return Err(io::Error::last_os_error());
    };
    let told = control.0.get(..message.msg_controllen).unwrap_or_default();
    for number in rights(told) {
        // SAFETY: the kernel just put this descriptor into this process for this message, and nobody else knows it.
        descriptors.push(unsafe { OwnedFd::from_raw_fd(number) });
    }
    if message.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "more descriptors came than are taken",
        ));
    }
    Ok(received)
}

/// The descriptors of the first control message, if it carries any; there is room for one message only.
fn rights(told: &[u8]) -> Vec<RawFd> {
    let word = |at: usize| {
        let bytes = told.get(at..at + INT)?;
        bytes.try_into().ok().map(libc::c_int::from_ne_bytes)
    };
    let length = told.get(..size_of::<usize>()).and_then(|bytes| bytes.try_into().ok());
    let length = length.map_or(0, usize::from_ne_bytes);
    let kind = (word(size_of::<usize>()), word(size_of::<usize>() + INT));
    if kind != (Some(libc::SOL_SOCKET), Some(libc::SCM_RIGHTS)) {
        return Vec::new();
    }
    let numbers = told.get(HEADER..length).unwrap_or_default().chunks_exact(INT);
    numbers
        .filter_map(|bytes| bytes.try_into().ok().map(RawFd::from_ne_bytes))
        .collect()
}

fn empty_message() -> libc::msghdr {
    // SAFETY: `msghdr` is plain data, for which all zeroes is a value (null pointers, zero lengths).
    unsafe { std::mem::zeroed() }
}
