//! UDP: ports with bounded queues, and the packets themselves (RFC 768).

use crate::limits::Limits;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet, UdpPacket, UdpRepr};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::task::Waker;

const UDP_HEADER: usize = 8;
const HOPS: u8 = 64;

/// Names a UDP port of one stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortId(pub(crate) u16);

impl PortId {
    /// Its number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

/// What came to a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Own address that it came to.
    pub local: IpAddr,
    /// Who sent it.
    pub remote: SocketAddr,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Why a datagram is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It and its headers are longer than the MTU.
    #[error("the datagram is longer than the MTU of the overlay")]
    TooLong,
    /// Neither end may be unspecified, and both are of one family.
    #[error("the ends of the datagram do not fit each other")]
    Ends,
    /// Packets wait to be taken: send less, or later.
    #[error("packets wait to be taken")]
    Busy,
}

#[derive(Default)]
struct Port {
    queue: VecDeque<Datagram>,
    waker: Option<Waker>,
}

/// The bound ports.
pub(crate) struct Ports {
    ports: HashMap<u16, Port>,
    limits: Limits,
    /// Bytes that wait.
    memory: usize,
}

impl Ports {
    pub fn new(limits: Limits) -> Self {
        Self {
            ports: HashMap::new(),
            limits,
            memory: 0,
        }
    }

    /// False when it is bound already or there are too many.
    pub fn bind(&mut self, port: u16) -> bool {
        if port == 0 || self.ports.contains_key(&port) || self.ports.len() >= self.limits.udp_ports {
            return false;
        }
        self.ports.insert(port, Port::default());
        true
    }

    pub fn unbind(&mut self, port: u16) {
        if let Some(port) = self.ports.remove(&port) {
            self.memory -= port.queue.iter().map(|datagram| datagram.payload.len()).sum::<usize>();
        }
    }

    pub fn is_bound(&self, port: u16) -> bool {
        self.ports.contains_key(&port)
    }

    /// False when it is dropped: there is no room.
    pub fn deliver(&mut self, port: u16, datagram: Datagram) -> bool {
        let Some(port) = self.ports.get_mut(&port) else {
            return false;
        };
        let size = datagram.payload.len();
        if port.queue.len() >= self.limits.udp_queue || self.memory + size > self.limits.udp_memory {
            return false;
        }
        self.memory += size;
        port.queue.push_back(datagram);
        if let Some(waker) = port.waker.take() {
            waker.wake();
        }
        true
    }

    /// The next datagram of a port; when there is none, `waker` is called once one comes.
    pub fn take(&mut self, port: u16, waker: Option<&Waker>) -> Option<Datagram> {
        let port = self.ports.get_mut(&port)?;
        let datagram = port.queue.pop_front();
        match &datagram {
            Some(datagram) => self.memory -= datagram.payload.len(),
            None => port.waker = waker.cloned(),
        }
        datagram
    }
}

/// Source port, destination port and payload of a UDP packet without extension headers; `None` when its checksum is wrong
/// or it contradicts itself.
pub(crate) fn read(packet: &[u8]) -> Option<(u16, u16, &[u8])> {
    let (source, destination, segment): (IpAddress, IpAddress, &[u8]) = match packet.first()? >> 4 {
        4 => {
            let ip = Ipv4Packet::new_checked(packet).ok()?;
            if !ip.verify_checksum() || ip.next_header() != IpProtocol::Udp {
                return None;
            }
            (ip.src_addr().into(), ip.dst_addr().into(), ip.payload())
        }
        _ => {
            let ip = Ipv6Packet::new_checked(packet).ok()?;
            if ip.next_header() != IpProtocol::Udp {
                return None;
            }
            (ip.src_addr().into(), ip.dst_addr().into(), ip.payload())
        }
    };
    let udp = UdpPacket::new_checked(segment).ok()?;
    let header = UdpRepr::parse(&udp, &source, &destination, &ChecksumCapabilities::default()).ok()?;
    Some((header.src_port, header.dst_port, udp.payload()))
}

/// A UDP packet.
pub(crate) fn write(local: SocketAddr, remote: SocketAddr, payload: &[u8], mtu: usize) -> Result<Vec<u8>, SendError> {
    let fits = local.is_ipv4() == remote.is_ipv4();
    if !fits || remote.ip().is_unspecified() || local.ip().is_unspecified() || remote.port() == 0 || local.port() == 0 {
        return Err(SendError::Ends);
    }
    let (source, destination): (IpAddress, IpAddress) = (local.ip().into(), remote.ip().into());
    let length = UDP_HEADER + payload.len();
    let ip = IpRepr::new(source, destination, IpProtocol::Udp, length, HOPS);
    if ip.header_len() + length > mtu {
        return Err(SendError::TooLong);
    }
    let checksums = ChecksumCapabilities::default();
    let mut packet = vec![0; ip.header_len() + length];
    ip.emit(&mut packet, &checksums);
    let header = UdpRepr {
        src_port: local.port(),
        dst_port: remote.port(),
    };
    let segment = packet.get_mut(ip.header_len()..).unwrap_or_default();
    header.emit(
        &mut UdpPacket::new_unchecked(segment),
        &source,
        &destination,
        payload.len(),
        |room| room.copy_from_slice(payload),
        &checksums,
    );
    Ok(packet)
}
