//! Socket addresses as the kernel lays them out (`sockaddr_in`, `sockaddr_in6`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

const AF_INET: u16 = libc::AF_INET as u16;
const AF_INET6: u16 = libc::AF_INET6 as u16;
const V4_BYTES: u32 = 16;
const V6_BYTES: u32 = 28;

/// Room for either form.
#[repr(C, align(4))]
#[derive(Clone, Copy)]
pub struct RawAddress([u8; V6_BYTES as usize]);

impl RawAddress {
    pub const EMPTY: Self = Self([0; V6_BYTES as usize]);
    pub const ROOM: u32 = V6_BYTES;

    /// For a socket of the given family; `None` when an IPv4 socket cannot reach the address.
    pub fn encode(address: SocketAddr, v6_socket: bool) -> Option<(Self, u32)> {
        let mut raw = [0; V6_BYTES as usize];
        let [f0, f1, p0, p1, rest @ ..] = &mut raw;
        [*p0, *p1] = address.port().to_be_bytes();
        let (family, length) = match (address, v6_socket) {
            (SocketAddr::V4(v4), false) => {
                *rest.first_chunk_mut()? = v4.ip().octets();
                (AF_INET, V4_BYTES)
            }
            (SocketAddr::V4(v4), true) => {
                *rest.get_mut(4..)?.first_chunk_mut()? = v4.ip().to_ipv6_mapped().octets();
                (AF_INET6, V6_BYTES)
            }
            (SocketAddr::V6(v6), true) => {
                *rest.get_mut(4..)?.first_chunk_mut()? = v6.ip().octets();
                *rest.get_mut(20..)?.first_chunk_mut()? = v6.scope_id().to_ne_bytes();
                (AF_INET6, V6_BYTES)
            }
            (SocketAddr::V6(_), false) => return None,
        };
        [*f0, *f1] = family.to_ne_bytes();
        Some((Self(raw), length))
    }

    /// What the kernel wrote; an IPv4 address in IPv6 clothes comes out as IPv4.
    pub fn decode(&self) -> Option<SocketAddr> {
        let [f0, f1, p0, p1, rest @ ..] = &self.0;
        let port = u16::from_be_bytes([*p0, *p1]);
        match u16::from_ne_bytes([*f0, *f1]) {
            AF_INET => Some(SocketAddr::new(
                IpAddr::V4(Ipv4Addr::from(*rest.first_chunk::<4>()?)),
                port,
            )),
            AF_INET6 => {
                let ip = Ipv6Addr::from(*rest.get(4..)?.first_chunk::<16>()?);
                let scope = u32::from_ne_bytes(*rest.get(20..)?.first_chunk()?);
                Some(match ip.to_ipv4_mapped() {
                    Some(v4) => SocketAddr::new(IpAddr::V4(v4), port),
                    None => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope)),
                })
            }
            _ => None,
        }
    }

    pub fn as_ptr(&self) -> *const libc::c_void {
        self.0.as_ptr().cast()
    }

    pub fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.0.as_mut_ptr().cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernel_form() {
        for (text, v6_socket) in [
            ("192.0.2.1:80", false),
            ("192.0.2.1:80", true),
            ("[2001:db8::1]:443", true),
            ("[fe80::1%3]:5", true),
        ] {
            let address: SocketAddr = text.parse().unwrap();
            let (raw, _) = RawAddress::encode(address, v6_socket).unwrap();
            assert_eq!(raw.decode(), Some(address));
        }
        assert!(RawAddress::encode("[::1]:1".parse().unwrap(), false).is_none());
        assert_eq!(RawAddress::EMPTY.decode(), None);
    }
}
