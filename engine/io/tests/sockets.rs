//! The wrappers against the kernel.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use cvlan_io::{BATCH, Received, Tun, TunError, UdpPort, Wake, wait_readable};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

const LONG: Option<Duration> = Some(Duration::from_secs(20));

#[test]
fn batches_cross_a_real_socket_with_their_senders() {
    let (a, b) = (UdpPort::bind(0).unwrap(), UdpPort::bind(0).unwrap());
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, b.port()));
    let payloads: Vec<Vec<u8>> = (0..10).map(|n| vec![n; 100 + usize::from(n)]).collect();
    assert_eq!(a.send_batch(payloads.iter().map(|bytes| (to, bytes.as_slice()))), 10);
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
    let (a, b) = (UdpPort::bind(0).unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    b.set_read_timeout(LONG).unwrap();
    let refused = SocketAddr::from(([255, 255, 255, 255], 9));
    let batch = [(refused, &b"x"[..]), (b.local_addr().unwrap(), b"hello")];
    assert_eq!(a.send_batch(batch.into_iter()), 1);
    let mut room = [0; 16];
    assert_eq!(b.recv(&mut room).unwrap(), 5);
}

#[test]
fn a_datagram_longer_than_its_room_is_marked() {
    let (a, b) = (UdpPort::bind(0).unwrap(), UdpPort::bind(0).unwrap());
    a.send_batch(std::iter::once((
        SocketAddr::from((Ipv4Addr::LOCALHOST, b.port())),
        &[7u8; 100][..],
    )));
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

#[test]
fn a_taken_port_is_an_error() {
    let first = UdpPort::bind(0).unwrap();
    let Err(error) = UdpPort::bind(first.port()) else {
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
    assert_eq!(tun.read(&mut room).unwrap(), Some(6));
    tun.write(b"answer").unwrap();
    assert_eq!(host.recv(&mut room).unwrap(), 6);
}

#[test]
fn a_name_that_is_no_interface_is_refused_before_the_kernel_sees_it() {
    for name in ["", "a/b", "..", "sixteen-bytes-xx", "sp ace"] {
        assert!(matches!(Tun::create(name), Err(TunError::BadName(_))), "{name:?}");
    }
}
