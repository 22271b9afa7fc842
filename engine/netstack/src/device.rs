//! The two ends of the stack as smoltcp wants them: one packet in, a bounded queue out.

use crate::mark::SendMark;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use std::collections::VecDeque;

/// Packets that wait to be taken.
#[derive(Debug)]
pub(crate) struct Outbound {
    packets: VecDeque<Vec<u8>>,
    capacity: usize,
    /// A packet was made that found no room.
    pub overflowed: u64,
}

impl Outbound {
    pub fn new(capacity: usize) -> Self {
        Self {
            packets: VecDeque::new(),
            capacity,
            overflowed: 0,
        }
    }

    pub fn is_full(&self) -> bool {
        self.packets.len() >= self.capacity
    }

    pub fn push(&mut self, packet: Vec<u8>) {
        if self.is_full() {
            self.overflowed += 1;
        } else {
            self.packets.push_back(packet);
        }
    }

    pub fn pop(&mut self) -> Option<Vec<u8>> {
        self.packets.pop_front()
    }
}

/// One call into smoltcp: at most one packet for it to read, and room for what it sends.
pub(crate) struct Wire<'a> {
    pub inbound: Option<&'a [u8]>,
    pub outbound: &'a mut Outbound,
    pub mtu: usize,
    /// Of the connection whose packets these are; `None` for packets of nobody.
    pub mark: Option<&'a mut SendMark>,
}

impl Device for Wire<'_> {
    type RxToken<'a>
        = Inbound<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Sender<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let packet = self.inbound.take()?;
        let sender = Sender {
            outbound: self.outbound,
            mark: self.mark.as_deref_mut(),
        };
        Some((Inbound(packet), sender))
    }

    fn transmit(&mut self, _: Instant) -> Option<Self::TxToken<'_>> {
        if self.outbound.is_full() {
            return None;
        }
        Some(Sender {
            outbound: self.outbound,
            mark: self.mark.as_deref_mut(),
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

/// The packet to read.
pub(crate) struct Inbound<'a>(&'a [u8]);

impl RxToken for Inbound<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Room for one packet.
pub(crate) struct Sender<'a> {
    outbound: &'a mut Outbound,
    mark: Option<&'a mut SendMark>,
}

impl TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut packet = vec![0; length];
        let filled = fill(&mut packet);
        if let Some(mark) = self.mark {
            mark.pass(&mut packet);
        }
        self.outbound.push(packet);
        filled
    }
}
