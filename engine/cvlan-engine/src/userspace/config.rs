//! What the userspace mode offers on the host, checked.

use super::access::Host;
use crate::failure::Failure;
use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// Forwards of one engine.
const MAX_FORWARDS: usize = 64;
/// Bytes of a name (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 253;

/// Which way connections of a forward begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    IntoOverlay,
    FromOverlay,
}

/// What a forward carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// One port forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    pub direction: Direction,
    pub protocol: Protocol,
    /// On the host, a loopback address; from the overlay, unspecified: every own address.
    pub listen: SocketAddr,
    pub target: Host,
    pub target_port: u16,
}

/// What is offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    pub proxy: Option<SocketAddr>,
    pub forwards: Vec<Forward>,
}

impl Offers {
    /// Checks what came over the socket.
    ///
    /// # Errors
    /// Names the field.
    pub fn check(settings: &pb::Settings) -> Result<Self, Failure> {
        let proxy = settings.proxy_listen.as_ref().map(check_proxy).transpose()?;
        if settings.forwards.len() > MAX_FORWARDS {
            let message = format!("{} forwards", settings.forwards.len());
            return Err(Failure::field(
                "settings.forwards",
                message,
                format!("use at most {MAX_FORWARDS}"),
            ));
        }
        let mut taken: BTreeSet<(bool, bool, SocketAddr)> = proxy.map(|at| (true, false, at)).into_iter().collect();
        let mut forwards = Vec::new();
        for (index, forward) in settings.forwards.iter().enumerate() {
            let forward = check_forward(&format!("settings.forwards[{index}]"), forward)?;
            if !taken.insert((forward.listens_on_host(), forward.is_udp(), forward.listen)) {
                return Err(Failure::field(
                    format!("settings.forwards[{index}].listen"),
                    "another forward or the proxy listens there already",
                    "give each a port of its own",
                ));
            }
            forwards.push(forward);
        }
        Ok(Self { proxy, forwards })
    }

    /// True when nothing is offered.
    pub fn is_empty(&self) -> bool {
        self.proxy.is_none() && self.forwards.is_empty()
    }

    /// As the contract says it.
    pub fn write(&self, settings: &mut pb::Settings) {
        settings.proxy_listen = self.proxy.map(|at| entity::NodeEndpoint {
            address: at.ip().to_string(),
            port: at.port().into(),
        });
        settings.forwards = self.forwards.iter().map(Into::into).collect();
    }
}

fn check_proxy(endpoint: &entity::NodeEndpoint) -> Result<SocketAddr, Failure> {
    on_loopback("settings.proxy_listen", &endpoint.address, endpoint.port)
}

fn check_forward(field: &str, forward: &pb::PortForward) -> Result<Forward, Failure> {
    let unknown = |part: &str| Failure::field(format!("{field}.{part}"), "it is not set", "set it");
    let direction = match forward.direction() {
        pb::ForwardDirection::IntoOverlay => Direction::IntoOverlay,
        pb::ForwardDirection::FromOverlay => Direction::FromOverlay,
        pb::ForwardDirection::Unspecified => return Err(unknown("direction")),
    };
    let protocol = match forward.protocol() {
        pb::ForwardProtocol::Tcp => Protocol::Tcp,
        pb::ForwardProtocol::Udp => Protocol::Udp,
        pb::ForwardProtocol::Unspecified => return Err(unknown("protocol")),
    };
    let listen = forward.listen.as_ref().ok_or_else(|| unknown("listen"))?;
    let target = forward.target.as_ref().ok_or_else(|| unknown("target"))?;
    let target_port = port(&format!("{field}.target.port"), target.port)?;
    let listen_field = format!("{field}.listen");
    let (listen, host) = match direction {
        Direction::IntoOverlay => {
            let listen = on_loopback(&listen_field, &listen.host, listen.port)?;
            (listen, overlay_host(&format!("{field}.target.host"), &target.host)?)
        }
        Direction::FromOverlay => {
            if !listen.host.is_empty() {
                return Err(Failure::field(
                    format!("{listen_field}.host"),
                    "a forward from the overlay listens on all overlay addresses of this node",
                    "leave the host empty",
                ));
            }
            let listen = SocketAddr::new(
                std::net::Ipv6Addr::UNSPECIFIED.into(),
                port(&format!("{listen_field}.port"), listen.port)?,
            );
            (
                listen,
                Host::Address(address(&format!("{field}.target.host"), &target.host)?),
            )
        }
    };
    Ok(Forward {
        direction,
        protocol,
        listen,
        target: host,
        target_port,
    })
}

fn on_loopback(field: &str, host: &str, number: u32) -> Result<SocketAddr, Failure> {
    let address = address(field, host)?;
    if !address.is_loopback() {
        return Err(Failure::field(
            field,
            format!("{address} is no loopback address: others could use this node's rights"),
            "use 127.0.0.1 or ::1",
        ));
    }
    Ok(SocketAddr::new(address, port(field, number)?))
}

fn address(field: &str, text: &str) -> Result<IpAddr, Failure> {
    text.parse()
        .map_err(|_| Failure::field(field, "this is no IP address", "write an IPv4 or IPv6 address"))
}

fn overlay_host(field: &str, text: &str) -> Result<Host, Failure> {
    if text.is_empty() || text.len() > MAX_NAME {
        let remedy = "name a peer, or an address of the overlay";
        return Err(Failure::field(field, "this is neither a name nor an address", remedy));
    }
    Ok(Host::parse(text))
}

fn port(field: &str, number: u32) -> Result<u16, Failure> {
    u16::try_from(number)
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| Failure::field(field, "this is no port", "use 1 to 65535"))
}

impl From<&Forward> for pb::PortForward {
    fn from(forward: &Forward) -> Self {
        let (direction, host) = match forward.direction {
            Direction::IntoOverlay => (pb::ForwardDirection::IntoOverlay, forward.listen.ip().to_string()),
            Direction::FromOverlay => (pb::ForwardDirection::FromOverlay, String::new()),
        };
        let protocol = match forward.protocol {
            Protocol::Tcp => pb::ForwardProtocol::Tcp,
            Protocol::Udp => pb::ForwardProtocol::Udp,
        };
        let end = |host, port: u16| pb::PortForwardEnd {
            host,
            port: port.into(),
        };
        let target = match &forward.target {
            Host::Address(address) => address.to_string(),
            Host::Name(name) => name.clone(),
        };
        Self {
            direction: direction.into(),
            protocol: protocol.into(),
            listen: Some(end(host, forward.listen.port())),
            target: Some(end(target, forward.target_port)),
        }
    }
}
