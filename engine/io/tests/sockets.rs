//! The wrappers against the kernel.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

use cvlan_io::{
    BATCH, MAX_DESCRIPTORS, Received, Run, Tun, TunError, UdpPort, Wake, anonymous_memory, is_sealed, monotonic,
    path_mtu, receive_descriptors, seal, send_descriptors, wait_readable,
};
use cvlan_offload::{Ecn, Offload, Vnet};
use std::io::{Read, Seek, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Command;
use std::time::{Duration, Instant};

const LONG: Option<Duration> = Some(Duration::from_secs(20));

#[test]
fn batches_cross_a_real_socket_with_their_senders() {
    let (a, b) = (UdpPort::bind(0, true).unwrap(), UdpPort::bind(0, true).unwrap());
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, b.port()));
    let payloads: Vec<Vec<u8>> = (0..10).map(|n| vec![n; 100 + usize::from(n)]).collect();
    assert_eq!(a.send_batch(payloads.iter().map(|bytes| Run::one(to, bytes))).taken, 10);
    let mut got = Vec::new();
    while got.len() < 10 {
        assert_eq!(wait_readable([b.as_fd()], LONG).unwrap(), [true], "nothing came");
        let mut rooms = vec![[0u8; 2048]; BATCH];
        let mut received = [Received::default(); BATCH];
        let count = b
            .recv_batch(rooms.iter_mut().map(|room| room.as_mut_slice()), &mut received)
            .unwrap();
        for (room, one) in rooms.iter().zip(received).take(count) {
            assert_eq!(one.from, Some(SocketAddr::from((Ipv4Addr::LOCALHOST, a.port()))));
            assert!(!one.truncated);
            got.push(room[..one.len].to_vec());
        }
    }
    assert_eq!(got, payloads);
}

#[test]
fn a_datagram_that_cannot_go_does_not_stop_the_others() {
    let (a, b) = (UdpPort::bind(0, true).unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    b.set_read_timeout(LONG).unwrap();
    let refused = SocketAddr::from(([255, 255, 255, 255], 9));
    let batch = [Run::one(refused, b"x"), Run::one(b.local_addr().unwrap(), b"hello")];
    let sent = a.send_batch(batch.into_iter());
    assert_eq!((sent.taken, sent.refused, sent.narrow), (1, 1, None));
    let mut room = [0; 16];
    assert_eq!(b.recv(&mut room).unwrap(), 5);
}

#[test]
fn a_datagram_longer_than_its_room_is_marked() {
    let (a, b) = (UdpPort::bind(0, true).unwrap(), UdpPort::bind(0, true).unwrap());
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, b.port()));
    a.send_batch(std::iter::once(Run::one(to, &[7u8; 100])));
    assert_eq!(wait_readable([b.as_fd()], LONG).unwrap(), [true]);
    let mut room = [0u8; 50];
    let mut received = [Received::default(); BATCH];
    assert_eq!(
        b.recv_batch(std::iter::once(room.as_mut_slice()), &mut received)
            .unwrap(),
        1
    );
    assert!(received[0].truncated);
}

/// Receives until `count` datagrams are there, cut as the kernel says.
fn receive(from: &UdpPort, count: usize) -> Vec<(Received, Vec<u8>)> {
    let mut got = Vec::new();
    while got.len() < count {
        assert_eq!(wait_readable([from.as_fd()], LONG).unwrap(), [true], "nothing came");
        let mut rooms = vec![vec![0u8; 65_535]; 4];
        let mut received = [Received::default(); BATCH];
        let filled = from
            .recv_batch(rooms.iter_mut().map(Vec::as_mut_slice), &mut received)
            .unwrap();
        for (room, one) in rooms.iter().zip(received).take(filled) {
            assert!(!one.truncated);
            got.extend(room[..one.len].chunks(one.segment).map(|bytes| (one, bytes.to_vec())));
        }
    }
    got
}

#[test]
fn a_run_is_cut_up_by_the_kernel_and_keeps_order_sizes_and_ecn() {
    for to in ["127.0.0.1", "::1"] {
        let (a, b) = (UdpPort::bind(0, true).unwrap(), UdpPort::bind(0, true).unwrap());
        assert!(a.sends_runs(), "the kernel has UDP_SEGMENT");
        let bytes: Vec<u8> = (0..100_000).map(|n: u32| (n / 1000) as u8).collect();
        let run = Run {
            to: SocketAddr::new(to.parse().unwrap(), b.port()),
            bytes: &bytes[..99_500],
            segment: 1000,
            ecn: Ecn::Capable0,
        };
        let sent = a.send_batch(std::iter::once(run));
        assert_eq!((sent.taken, sent.refused), (100, 0));
        let got = receive(&b, 100);
        assert!(
            got.iter().any(|(one, _)| one.segment < one.len),
            "nothing came together"
        );
        assert!(got.iter().all(|(one, _)| one.ecn == Ecn::Capable0));
        let got: Vec<Vec<u8>> = got.into_iter().map(|(_, bytes)| bytes).collect();
        let expected: Vec<Vec<u8>> = run.bytes.chunks(1000).map(<[u8]>::to_vec).collect();
        assert_eq!(got, expected);
    }
}

#[test]
fn without_offload_a_run_goes_as_single_datagrams() {
    let (a, b) = (UdpPort::bind(0, false).unwrap(), UdpPort::bind(0, false).unwrap());
    assert!(!a.sends_runs());
    let bytes = [7u8; 3500];
    let run = Run {
        segment: 1000,
        ..Run::one(SocketAddr::from((Ipv4Addr::LOCALHOST, b.port())), &bytes)
    };
    assert_eq!(a.send_batch(std::iter::once(run)).taken, 4);
    let sizes: Vec<usize> = receive(&b, 4).into_iter().map(|(_, bytes)| bytes.len()).collect();
    assert_eq!(sizes, [1000, 1000, 1000, 500]);
}

#[test]
fn a_run_for_nobody_is_counted_by_its_datagrams() {
    let a = UdpPort::bind(0, true).unwrap();
    let run = Run {
        segment: 10,
        ..Run::one(SocketAddr::from(([255, 255, 255, 255], 9)), &[0; 95])
    };
    let sent = a.send_batch(std::iter::once(run));
    assert_eq!((sent.taken, sent.refused, sent.narrow), (0, 10, None));
}

#[test]
fn a_taken_port_is_an_error() {
    let first = UdpPort::bind(0, true).unwrap();
    let Err(error) = UdpPort::bind(first.port(), true) else {
        panic!("bound twice")
    };
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn a_wake_ends_a_wait_once() {
    let wake = Wake::new().unwrap();
    wake.wake();
    wake.wake();
    assert_eq!(wait_readable([wake.as_fd()], LONG).unwrap(), [true]);
    wake.clear();
    assert_eq!(wait_readable([wake.as_fd()], Some(Duration::ZERO)).unwrap(), [false]);
}

#[test]
fn a_pair_of_datagram_sockets_stands_in_for_an_interface() {
    let (host, engine) = UnixDatagram::pair().unwrap();
    let tun = Tun::from_fd(engine.into()).unwrap();
    let mut room = [0; 64];
    assert_eq!(tun.read(&mut room).unwrap(), None);
    host.send(b"packet").unwrap();
    assert_eq!(tun.read(&mut room).unwrap(), Some((Vnet::NONE, 6)));
    tun.write(Vnet::NONE, [&b"ans"[..], b"wer"].into_iter()).unwrap();
    assert_eq!(host.recv(&mut room).unwrap(), 6);
    assert_eq!(room[..6], *b"answer");
    let with_header = Vnet {
        needs_checksum: true,
        ..Vnet::NONE
    };
    assert!(tun.write(with_header, std::iter::once(&b"x"[..])).is_err());
}

#[test]
fn a_name_that_is_no_interface_is_refused_before_the_kernel_sees_it() {
    for name in ["", "a/b", "..", "sixteen-bytes-xx", "sp ace"] {
        assert!(
            matches!(Tun::create(name, Offload::TcpUdp), Err(TunError::BadName(_))),
            "{name:?}"
        );
    }
}

#[test]
fn the_way_to_this_machine_takes_what_its_loopback_takes() {
    let text = std::fs::read_to_string("/sys/class/net/lo/mtu").unwrap();
    // A packet's length has 16 bits.
    let widest = text.trim().parse::<usize>().unwrap().min(65_535);
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    for to in [silent.local_addr().unwrap(), closed] {
        assert_eq!(path_mtu(to, 1_500, Duration::from_millis(50)).unwrap(), widest);
    }
    let mut room = [0; 2_048];
    silent.set_read_timeout(LONG).unwrap();
    assert_eq!(
        silent.recv(&mut room).unwrap(),
        1_500 - 28,
        "the size counts the headers"
    );
}

#[test]
fn where_no_way_leads_there_is_an_error() {
    // No address of a host (RFC 1122 section 3.2.1.3).
    let nowhere = SocketAddr::from((Ipv4Addr::BROADCAST, 9));
    assert!(path_mtu(nowhere, 1_500, Duration::from_millis(50)).is_err());
}

/// Everything above once more, with every access to memory looked at. No nightly toolchain is at hand for a sanitizer.
#[test]
fn no_system_call_touches_memory_that_it_was_not_given() {
    let valgrind = Command::new("valgrind")
        .args(["--quiet", "--error-exitcode=9", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--test-threads=1", "--skip", "no_system_call_touches_memory"])
        .output();
    match valgrind {
        Ok(output) => assert!(
            output.status.success(),
            "{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
            eprintln!("skipped: needs the Debian package valgrind");
        }
    }
}

#[test]
fn descriptors_cross_a_unix_socket_with_their_bytes() {
    let (one, other) = UnixStream::pair().unwrap();
    let memories: Vec<_> = (0..MAX_DESCRIPTORS).map(|_| anonymous_memory().unwrap()).collect();
    for (number, mut memory) in (0u8..).zip(&memories) {
        memory.write_all(&[number]).unwrap();
    }
    let fds: Vec<_> = memories.iter().map(|memory| memory.as_fd()).collect();
    send_descriptors(one.as_fd(), b"first", &fds).unwrap();
    send_descriptors(one.as_fd(), b"second", &[]).unwrap();
    let too_many: Vec<_> = fds.iter().chain(&fds).copied().collect();
    assert!(send_descriptors(one.as_fd(), b"x", &too_many).is_err());
    let (mut room, mut came) = ([0; 64], Vec::new());
    assert_eq!(
        receive_descriptors(other.as_fd(), &mut room[..5], &mut came).unwrap(),
        5
    );
    assert_eq!((&room[..5], came.len()), (&b"first"[..], MAX_DESCRIPTORS));
    for (number, fd) in (0u8..).zip(came) {
        let mut memory = std::fs::File::from(fd);
        memory.rewind().unwrap();
        let mut bytes = Vec::new();
        memory.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [number]);
    }
    let mut none = Vec::new();
    assert_eq!(receive_descriptors(other.as_fd(), &mut room, &mut none).unwrap(), 6);
    assert!(none.is_empty());
    drop(one);
    assert_eq!(receive_descriptors(other.as_fd(), &mut room, &mut none).unwrap(), 0);
}

#[test]
fn sealed_memory_does_not_change() {
    let mut memory = anonymous_memory().unwrap();
    memory.write_all(b"as it is").unwrap();
    assert!(!is_sealed(&memory));
    seal(&memory).unwrap();
    assert!(is_sealed(&memory) && seal(&memory).is_err());
    memory.rewind().unwrap();
    assert!(memory.write_all(b"x").is_err() && memory.set_len(1).is_err() && memory.set_len(1 << 20).is_err());
    let file = tempfile();
    assert!(!is_sealed(&file) && seal(&file).is_err());
}

/// A file of the file system, which may not be sealed.
fn tempfile() -> std::fs::File {
    std::fs::File::open(std::env::current_exe().unwrap()).unwrap()
}

#[test]
fn the_clock_of_all_processes_is_the_one_of_instants() {
    let (clock, instant) = (monotonic(), Instant::now());
    std::thread::sleep(Duration::from_millis(20));
    let (later, passed) = (monotonic(), instant.elapsed());
    assert!(later - clock >= passed.saturating_sub(Duration::from_millis(5)));
}

#[test]
fn a_socket_that_was_handed_over_goes_on_receiving() {
    let (a, b) = (UdpPort::bind(0, true).unwrap(), UdpPort::bind(0, true).unwrap());
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, b.port()));
    assert_eq!(a.send_batch(std::iter::once(Run::one(to, b"waits"))).taken, 1);
    let c = UdpPort::adopt(b.as_fd().try_clone_to_owned().unwrap()).unwrap();
    assert_eq!((c.port(), c.sends_runs()), (b.port(), b.sends_runs()));
    drop(b);
    assert_eq!(wait_readable([c.as_fd()], LONG).unwrap(), [true]);
    let (mut room, mut received) = ([0; 2048], [Received::default(); BATCH]);
    assert_eq!(c.recv_batch(std::iter::once(&mut room[..]), &mut received).unwrap(), 1);
    assert_eq!(&room[..received[0].len], b"waits");
    let stranger = UnixDatagram::unbound().unwrap();
    assert!(UdpPort::adopt(stranger.into()).is_err());
    assert!(
        Tun::adopt(a.as_fd().try_clone_to_owned().unwrap(), "x").is_err(),
        "a socket is no interface"
    );
}
