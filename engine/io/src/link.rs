//! The MTU and the queue of an interface (netdevice(7)).

use crate::checked;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

/// The MTU of an interface of this network namespace, bytes.
///
/// # Errors
/// When there is no such interface.
pub fn link_mtu(name: &str) -> io::Result<u32> {
    let mut request = request(name)?;
    let socket = UnixDatagram::unbound()?;
    // SAFETY: SIOCGIFMTU reads the name and writes the MTU of one `ifreq`, which lives across the call.
    checked(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU as _, &mut request) })?;
    // SAFETY: the call succeeded, so the kernel wrote this member; an int has no invalid values.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    u32::try_from(mtu).map_err(io::Error::other)
}

/// Sets the MTU of an interface of this network namespace, bytes.
///
/// # Errors
/// When there is no such interface, or it cannot have this MTU.
pub fn set_link_mtu(name: &str, mtu: u16) -> io::Result<()> {
    let mut request = request(name)?;
    request.ifr_ifru.ifru_mtu = mtu.into();
    let socket = UnixDatagram::unbound()?;
    // SAFETY: SIOCSIFMTU reads the name and the MTU of one `ifreq`, which lives across the call.
    checked(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFMTU as _, &request) }).map(drop)
}

/// Sets how many packets wait at most until an interface of this network namespace takes them.
///
/// # Errors
/// When there is no such interface.
pub fn set_queue_length(name: &str, packets: u16) -> io::Result<()> {
    let mut request = request(name)?;
    // The length is an int in the same place of the union, which has no name of its own in this crate.
    request.ifr_ifru.ifru_mtu = packets.into();
    let socket = UnixDatagram::unbound()?;
    // SAFETY: SIOCSIFTXQLEN reads the name and the length of one `ifreq`, which lives across the call.
    checked(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFTXQLEN as _, &request) }).map(drop)
}

fn request(name: &str) -> io::Result<libc::ifreq> {
    if name.len() >= libc::IFNAMSIZ {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: `ifreq` is plain data, for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Ok(request)
}
