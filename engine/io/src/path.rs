//! What the way to an address takes, found by packets that may not be cut up.

use crate::udp::set_int;
use crate::{checked, socklen_of};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

/// Narrower and narrower hops that are looked for.
const MAX_ROUNDS: usize = 8;
/// Bytes of the largest UDP datagram.
const MAX_DATAGRAM: usize = 65_507;

/// Where a family keeps its options, and what its headers and that of UDP take.
struct Family {
    level: libc::c_int,
    discover: libc::c_int,
    never_cut: libc::c_int,
    mtu: libc::c_int,
    headers: usize,
}

const V4: Family = Family {
    level: libc::IPPROTO_IP,
    discover: libc::IP_MTU_DISCOVER,
    never_cut: libc::IP_PMTUDISC_DO,
    mtu: libc::IP_MTU,
    headers: 20 + 8,
};

const V6: Family = Family {
    level: libc::IPPROTO_IPV6,
    discover: libc::IPV6_MTU_DISCOVER,
    never_cut: libc::IPV6_PMTUDISC_DO,
    mtu: libc::IPV6_MTU,
    headers: 40 + 8,
};

/// Bytes of the largest IP packet that the way to `to` takes, as the kernel knows it once packets of `size` bytes were sent
/// there that no router may cut up (RFC 1191, RFC 8201). A hop that swallows what is too large and says nothing goes unnoticed.
/// Waits at most `patience` for word of each packet, at most eight times.
///
/// # Errors
/// There is no way, or no socket.
pub fn path_mtu(to: SocketAddr, size: usize, patience: Duration) -> io::Result<usize> {
    let (family, any): (_, IpAddr) = match to {
        SocketAddr::V4(_) => (V4, Ipv4Addr::UNSPECIFIED.into()),
        SocketAddr::V6(_) => (V6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let fd = OwnedFd::from(UdpSocket::bind((any, 0))?);
    set_int(&fd, family.level, family.discover, family.never_cut)?;
    let socket = UdpSocket::from(fd);
    socket.connect(to)?;
    socket.set_read_timeout(Some(patience))?;
    let mut known = known_mtu(&socket, &family)?;
    for _ in 0..MAX_ROUNDS {
        let payload = size.min(known).saturating_sub(family.headers).min(MAX_DATAGRAM);
        let word = socket
            .send(&vec![0; payload])
            .and_then(|_| socket.recv(&mut [0; 1]).map(drop));
        match word {
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {}
            // It arrived, or nobody complained.
            Ok(()) => return Ok(known),
            Err(error) if is_no_complaint(&error) => return Ok(known),
            Err(error) => return Err(error),
        }
        known = known_mtu(&socket, &family)?;
    }
    Ok(known)
}

/// Bytes of the largest IP packet that this host believes the way to `to` to take, without sending anything.
///
/// # Errors
/// There is no way, or no socket.
pub fn known_path_mtu(to: SocketAddr) -> io::Result<usize> {
    let to = SocketAddr::new(to.ip().to_canonical(), to.port());
    let (family, any): (_, IpAddr) = match to {
        SocketAddr::V4(_) => (V4, Ipv4Addr::UNSPECIFIED.into()),
        SocketAddr::V6(_) => (V6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    known_mtu(&socket, &family)
}

fn is_no_complaint(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, TimedOut, WouldBlock};
    matches!(error.kind(), ConnectionRefused | TimedOut | WouldBlock)
}

/// What the kernel knows of the way that a connected socket takes (ip(7), ipv6(7)).
fn known_mtu(socket: &UdpSocket, family: &Family) -> io::Result<usize> {
    let mut value: libc::c_int = 0;
    let mut length = socklen_of::<libc::c_int>();
    let pointer: *mut libc::c_int = &mut value;
    // SAFETY: `pointer` points to one int whose size `length` says; both are alive across the call.
    checked(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            family.level,
            family.mtu,
            pointer.cast(),
            &mut length,
        )
    })?;
    Ok(usize::try_from(value).unwrap_or(0))
}
