//! The two bounded queues between the data path and the network stack.

use cvlan_io::Wake;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Packets of one direction.
const CAPACITY: usize = 512;

/// What stands where the TUN interface would stand.
pub struct Port {
    to_stack: Mutex<VecDeque<Vec<u8>>>,
    from_stack: Mutex<VecDeque<Vec<u8>>>,
    /// The data path waits for packets of the stack.
    readable: Wake,
    /// The stack waits for packets, for room, or for something else to do.
    work: Notify,
}

impl Port {
    /// Empty queues.
    ///
    /// # Errors
    /// When the process has no file descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            to_stack: Mutex::default(),
            from_stack: Mutex::default(),
            readable: Wake::new()?,
            work: Notify::new(),
        })
    }

    /// A packet of the stack; `None` when there is none now.
    pub fn read(&self, room: &mut [u8]) -> Option<usize> {
        let packet = self.pop().or_else(|| {
            self.readable.clear();
            // One may have come before the clearing.
            self.pop()
        })?;
        let room = room.get_mut(..packet.len())?;
        room.copy_from_slice(&packet);
        Some(packet.len())
    }

    fn pop(&self) -> Option<Vec<u8>> {
        let mut queue = lock(&self.from_stack);
        let was_full = queue.len() >= CAPACITY;
        let packet = queue.pop_front();
        drop(queue);
        if was_full {
            self.touch();
        }
        packet
    }

    /// A packet for the stack.
    ///
    /// # Errors
    /// When too many wait; the packet is lost then.
    pub fn write(&self, packet: Vec<u8>) -> io::Result<()> {
        let mut queue = lock(&self.to_stack);
        if queue.len() >= CAPACITY {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        queue.push_back(packet);
        drop(queue);
        self.touch();
        Ok(())
    }

    /// Gives the stack something to do.
    pub fn touch(&self) {
        self.work.notify_one();
    }

    /// Waits until [`Port::touch`] is called, or was called since the last wait.
    pub async fn touched(&self) {
        self.work.notified().await;
    }

    /// Everything that waits for the stack.
    pub fn take_arrived(&self) -> VecDeque<Vec<u8>> {
        std::mem::take(&mut *lock(&self.to_stack))
    }

    /// Hands packets over while there is room and `next` gives one.
    pub fn send(&self, mut next: impl FnMut() -> Option<Vec<u8>>) {
        let mut queue = lock(&self.from_stack);
        let mut sent = false;
        while queue.len() < CAPACITY {
            let Some(packet) = next() else { break };
            queue.push_back(packet);
            sent = true;
        }
        drop(queue);
        if sent {
            self.readable.wake();
        }
    }

    /// True when nothing more is taken for now.
    pub fn is_full(&self) -> bool {
        lock(&self.from_stack).len() >= CAPACITY
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

/// A panic elsewhere leaves whole packets in the queue.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
