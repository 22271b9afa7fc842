//! TUN, UDP in batches, wakeups, capture, probes of a path, and what one process hands to another. The only crate of the engine with unsafe code; what it gives is safe.

mod address;
mod capture;
mod control;
mod handed;
mod link;
mod path;
mod poll;
mod slice;
mod tun;
mod udp;
mod wake;

pub use capture::{Capture, Captured};
pub use handed::{
    MAX_DESCRIPTORS, anonymous_memory, is_sealed, monotonic, receive_descriptors, seal, send_descriptors,
};
pub use link::{link_mtu, set_link_mtu, set_queue_length};
pub use path::{known_path_mtu, path_mtu};
pub use poll::wait_readable;
pub use slice::set_slice;
pub use tun::{MAX_PIECES, Tun, TunError};
pub use udp::{BATCH, Received, Run, Sent, UdpPort};
pub use wake::Wake;

use std::io;

/// The user that this process acts as.
#[must_use]
pub fn effective_uid() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// `open(2)` flag: a symbolic link at the end of the path is an error.
pub const O_NOFOLLOW: i32 = libc::O_NOFOLLOW;

/// The result of a system call that says -1 and sets `errno`.
fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// `socklen_t` of a type; these are a few bytes long.
fn socklen_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(libc::socklen_t::MAX)
}
