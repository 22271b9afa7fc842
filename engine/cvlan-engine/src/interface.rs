//! Where the packets of the host come from and go to.

use crate::userspace::Port;
use cvlan_io::Tun;
use cvlan_offload::Vnet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// One end of the data path; the other is the UDP socket.
pub enum Interface {
    /// The host's network stack, through a TUN interface.
    Tun(Tun),
    /// The engine's own.
    Stack(Arc<Port>),
}

impl Interface {
    /// Reads one packet; `None` when there is none now.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn read(&self, room: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Tun(tun) => Ok(tun.read(room)?.map(|(_, length)| length)),
            Self::Stack(port) => Ok(port.read(room)),
        }
    }

    /// Writes one packet.
    ///
    /// # Errors
    /// When the interface is down or its queue full; the packet is lost then.
    pub fn write(&self, packet: &[u8]) -> io::Result<()> {
        match self {
            Self::Tun(tun) => tun.write(Vnet::NONE, std::iter::once(packet)),
            Self::Stack(port) => port.write(packet),
        }
    }

    /// Tells who stands behind it that another map is in force.
    pub fn map_changed(&self) {
        if let Self::Stack(port) = self {
            port.touch();
        }
    }
}

/// Readable when a packet may be read.
impl AsFd for Interface {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tun(tun) => tun.as_fd(),
            Self::Stack(port) => port.as_fd(),
        }
    }
}
