//! SOCKS 5 (RFC 1928): no authentication, CONNECT and UDP ASSOCIATE.

use crate::userspace::access::{Host, Refused};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const NO_ACCEPTABLE_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const UDP_ASSOCIATE: u8 = 3;
const IPV4: u8 = 1;
const DOMAIN: u8 = 3;
const IPV6: u8 = 4;

/// REP of a reply (section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Succeeded = 0,
    GeneralFailure = 1,
    NotAllowed = 2,
    NetworkUnreachable = 3,
    HostUnreachable = 4,
    ConnectionRefused = 5,
    CommandNotSupported = 7,
    AddressTypeNotSupported = 8,
}

impl From<Refused> for Reply {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Policy | Refused::Stale => Self::NotAllowed,
            Refused::Outside => Self::NetworkUnreachable,
            Refused::Unknown | Refused::Own | Refused::Silent => Self::HostUnreachable,
            Refused::Rejected => Self::ConnectionRefused,
            Refused::Family => Self::AddressTypeNotSupported,
            Refused::Busy => Self::GeneralFailure,
        }
    }
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Connect,
    Associate,
}

/// A request that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub command: Command,
    pub host: Host,
    pub port: u16,
}

/// Why a conversation ends before there is a request.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Not SOCKS 5; nothing can be answered.
    #[error("this is no SOCKS 5")]
    Malformed,
    /// Understood, and answered by this.
    #[error("refused: {0:?}")]
    Answered(Reply),
    /// The client went away.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads greeting and request, and answers the greeting; what is refused is answered too.
pub async fn negotiate(client: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<Request, Failed> {
    if client.read_u8().await? != VERSION {
        return Err(Failed::Malformed);
    }
    let count = client.read_u8().await?;
    let mut methods = vec![0; count.into()];
    client.read_exact(&mut methods).await?;
    if !methods.contains(&NO_AUTHENTICATION) {
        client.write_all(&[VERSION, NO_ACCEPTABLE_METHOD]).await?;
        return Err(Failed::Malformed);
    }
    client.write_all(&[VERSION, NO_AUTHENTICATION]).await?;
    let mut head = [0; 4];
    client.read_exact(&mut head).await?;
    let [version, command, reserved, kind] = head;
    if version != VERSION || reserved != 0 {
        return Err(Failed::Malformed);
    }
    let host = match kind {
        IPV4 => {
            let mut octets = [0; 4];
            client.read_exact(&mut octets).await?;
            Host::Address(Ipv4Addr::from(octets).into())
        }
        IPV6 => {
            let mut octets = [0; 16];
            client.read_exact(&mut octets).await?;
            Host::Address(IpAddr::from(Ipv6Addr::from(octets)).to_canonical())
        }
        DOMAIN => {
            let length = client.read_u8().await?;
            let mut name = vec![0; length.into()];
            client.read_exact(&mut name).await?;
            match std::str::from_utf8(&name) {
                Ok(name) if !name.is_empty() => Host::parse(name),
                _ => return refuse(client, Reply::HostUnreachable).await,
            }
        }
        _ => return refuse(client, Reply::AddressTypeNotSupported).await,
    };
    let port = client.read_u16().await?;
    let command = match command {
        CONNECT if port == 0 => return refuse(client, Reply::HostUnreachable).await,
        CONNECT => Command::Connect,
        UDP_ASSOCIATE => Command::Associate,
        _ => return refuse(client, Reply::CommandNotSupported).await,
    };
    Ok(Request { command, host, port })
}

async fn refuse(client: &mut (impl AsyncWrite + Unpin), reply: Reply) -> Result<Request, Failed> {
    answer(client, reply, None).await?;
    Err(Failed::Answered(reply))
}

/// Answers a request; `bound` is where this side is bound, if anywhere.
pub async fn answer(client: &mut (impl AsyncWrite + Unpin), reply: Reply, bound: Option<SocketAddr>) -> io::Result<()> {
    let mut bytes = vec![VERSION, reply as u8, 0];
    put_address(
        &mut bytes,
        bound.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)),
    );
    client.write_all(&bytes).await
}

fn put_address(bytes: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            bytes.push(IPV4);
            bytes.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.push(IPV6);
            bytes.extend(ip.octets());
        }
    }
    bytes.extend(address.port().to_be_bytes());
}

/// A datagram of a client (section 7): where to, and what. `None` when it is malformed or a fragment.
pub fn read_datagram(bytes: &[u8]) -> Option<(Host, u16, &[u8])> {
    let ([reserved0, reserved1, fragment, kind], rest) = bytes.split_first_chunk::<4>()?;
    if (*reserved0, *reserved1, *fragment) != (0, 0, 0) {
        return None;
    }
    let (host, rest) = match *kind {
        IPV4 => {
            let (octets, rest) = rest.split_first_chunk::<4>()?;
            (Host::Address(Ipv4Addr::from(*octets).into()), rest)
        }
        IPV6 => {
            let (octets, rest) = rest.split_first_chunk::<16>()?;
            (
                Host::Address(IpAddr::from(Ipv6Addr::from(*octets)).to_canonical()),
                rest,
            )
        }
        DOMAIN => {
            let (length, rest) = rest.split_first()?;
            let (name, rest) = rest.split_at_checked((*length).into())?;
            (
                Host::parse(std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?),
                rest,
            )
        }
        _ => return None,
    };
    let (port, payload) = rest.split_first_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    (port != 0).then_some((host, port, payload))
}

/// A datagram for a client.
pub fn write_datagram(from: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0];
    put_address(&mut bytes, from);
    bytes.extend(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a request makes of the proxy, and what the client hears.
    fn conversation(bytes: &[u8]) -> (Result<Request, Failed>, Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut client, mut proxy) = tokio::io::duplex(4096);
            client.write_all(bytes).await.unwrap();
            client.shutdown().await.unwrap();
            let result = negotiate(&mut proxy).await;
            drop(proxy);
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.unwrap();
            (result, heard)
        })
    }

    #[test]
    fn requests_are_understood_in_every_form_of_address() {
        let forms: [(&[u8], Host); 3] = [
            (&[1, 100, 64, 0, 2], Host::Address("100.64.0.2".parse().unwrap())),
            (&[3, 5, b'h', b'o', b's', b't', b'2'], Host::Name("host2".into())),
            (
                &[4, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
                Host::Address("fd00::2".parse().unwrap()),
            ),
        ];
        for (address, host) in forms {
            let bytes = [&[5, 1, 0, 5, 1, 0], address, &[0, 80]].concat();
            let (result, heard) = conversation(&bytes);
            let expected = Request {
                command: Command::Connect,
                host,
                port: 80,
            };
            assert_eq!(result.unwrap(), expected);
            assert_eq!(heard, [5, 0]);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let cases: [(&[u8], &[u8]); 9] = [
            (&[4, 1, 0, 80, 1, 2, 3, 4, 0], &[]),
            (&[5, 1, 2], &[5, 0xff]),
            (&[5, 0], &[5, 0xff]),
            (
                &[5, 1, 0, 5, 2, 0, 1, 1, 2, 3, 4, 0, 80],
                &[5, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0],
            ),
            (
                &[5, 1, 0, 5, 1, 0, 9, 1, 2, 3, 4, 0, 80],
                &[5, 0, 5, 8, 0, 1, 0, 0, 0, 0, 0, 0],
            ),
            (
                &[5, 1, 0, 5, 1, 0, 1, 1, 2, 3, 4, 0, 0],
                &[5, 0, 5, 4, 0, 1, 0, 0, 0, 0, 0, 0],
            ),
            (
                &[5, 1, 0, 5, 1, 0, 3, 1, 0xff, 0, 80],
                &[5, 0, 5, 4, 0, 1, 0, 0, 0, 0, 0, 0],
            ),
            (&[5, 1, 0, 5, 1, 7, 1, 1, 2, 3, 4, 0, 80], &[5, 0]),
            (&[5, 1, 0, 5, 1], &[5, 0]),
        ];
        for (bytes, answer) in cases {
            let (result, heard) = conversation(bytes);
            assert!(result.is_err(), "{bytes:?}");
            assert_eq!(heard, answer, "{bytes:?}");
        }
    }

    #[test]
    fn datagrams_survive_their_header_and_cut_ones_do_not() {
        let from: SocketAddr = "[fd00::2]:53".parse().unwrap();
        let bytes = write_datagram(from, b"payload");
        let (host, port, payload) = read_datagram(&bytes).unwrap();
        assert_eq!(
            (host, port, payload),
            (Host::Address(from.ip()), 53, b"payload".as_slice())
        );
        for length in 0..22 {
            assert_eq!(read_datagram(&bytes[..length]), None);
        }
        let mut fragment = bytes.clone();
        fragment[2] = 1;
        assert_eq!(read_datagram(&fragment), None);
        assert_eq!(read_datagram(&[0, 0, 0, 3, 200, b'x', 0, 53]), None);
    }
}
