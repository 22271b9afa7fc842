//! How long the turns of a thread on a processor are (sched(7), sched_setattr(2)).

use crate::checked;
use std::io;
use std::time::Duration;

/// Asks the scheduler to give the calling thread turns of this length, of 0.1 to 100 ms; `None` is the system's own choice.
/// Who asks for short ones gets no more of the processor than before, but gets it sooner when it wakes beside busy threads. Before Linux 6.12
/// nothing happens.
///
/// # Errors
/// Where the sandbox of the process forbids the call.
pub fn set_slice(length: Option<Duration>) -> io::Result<()> {
    // SAFETY: `sched_attr` is plain data, for which all zeroes is a value.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    let pointer: *mut libc::sched_attr = &mut attributes;
    let size = u32::try_from(size_of::<libc::sched_attr>()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `size` bytes of `attributes`, which is alive across the call; 0 is the calling thread.
    called(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, pointer, size, 0) })?;
    attributes.sched_runtime = length.map_or(0, |length| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
    let pointer: *const libc::sched_attr = &attributes;
    // SAFETY: the kernel reads `attributes`, which says its size and is alive across the call; 0 is the calling thread.
    called(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, pointer, 0) })
}

fn called(result: libc::c_long) -> io::Result<()> {
    checked(if result < 0 { -1 } else { 0 }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_asks_for_short_turns_and_goes_back() {
        set_slice(Some(Duration::from_micros(100))).unwrap();
        set_slice(None).unwrap();
    }
}
