//! Where the packets of the host come from and go to.

use crate::userspace::Port;
use cvlan_io::{Tun, TunError, UdpPort, set_queue_length};
use cvlan_offload::{Offload, Vnet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Packets that wait until the data path reads them: as with Ethernet, and twice what a TUN interface has by itself, which at 100,000
/// packets a second is full after 5 ms without a processor.
const QUEUE: u16 = 1000;

/// Makes a TUN interface that offloads what the data path makes use of.
///
/// # Errors
/// [`TunError`] says what to do.
pub fn make_tun(name: &str) -> Result<Tun, TunError> {
    let tun = Tun::create(name, Offload::TcpUdp)?;
    // With a shorter one bursts are lost sooner, and that is all.
    let _ = set_queue_length(name, QUEUE);
    Ok(tun)
}

/// Binds a port, with what the data path makes use of. 0 lets the system choose.
///
/// # Errors
/// When the port is taken or not permitted.
pub fn bind_udp(port: u16) -> io::Result<UdpPort> {
    UdpPort::bind(port, true)
}

/// One end of the data path; the other is the UDP socket.
pub enum Interface {
    /// The host's network stack, through a TUN interface.
    Tun(Tun),
    /// The engine's own.
    Stack(Arc<Port>),
}

impl Interface {
    /// Reads one packet, which may be a super-packet where [`Interface::offload`] says so; `None` when there is none now.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn read(&self, room: &mut [u8]) -> io::Result<Option<(Vnet, usize)>> {
        match self {
            Self::Tun(tun) => tun.read(room),
            Self::Stack(port) => Ok(port.read(room).map(|length| (Vnet::NONE, length))),
        }
    }

    /// Writes one packet, given in pieces.
    ///
    /// # Errors
    /// When the interface is down or its queue full; the packet is lost then.
    pub fn write<'a>(&self, vnet: Vnet, pieces: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        match self {
            Self::Tun(tun) => tun.write(vnet, pieces),
            Self::Stack(port) => port.write(pieces.flatten().copied().collect()),
        }
    }

    /// What it takes and gives beside finished packets.
    pub fn offload(&self) -> Offload {
        match self {
            Self::Tun(tun) => tun.offload(),
            Self::Stack(_) => Offload::None,
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
