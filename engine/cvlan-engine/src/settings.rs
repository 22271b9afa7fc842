//! Local facts that the daemon declared: checked, kept on disk.
//!
//! The file is the serialised `Settings` with SHA-256 behind it.

use crate::dns::DnsSettings;
use crate::failure::Failure;
use crate::state_dir::{StateDir, StateError};
use crate::userspace::Offers;
use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_wire::dns::{upstream_to_wire, upstreams};
use prost::Message;
use sha2::{Digest, Sha256};
use std::net::{IpAddr, SocketAddr};

const FILE: &str = "settings";
const SUM: usize = 32;
const DEFAULT_MTU: u16 = 1420;
/// What IPv6 asks of every link (RFC 8200, section 5), up to what a slot has room for.
const MTU: std::ops::RangeInclusive<u32> = 1280..=9000;

/// Checked settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whom the engine believes.
    pub membership: cvlan_map::Membership,
    /// Name of the TUN interface.
    pub interface_name: String,
    /// UDP port; 0 until the system chose one.
    pub listen_port: u16,
    /// Of the overlay, bytes.
    pub mtu: u16,
    /// Routing table of the membership.
    pub table_id: u32,
    /// Where names are answered; None: nowhere.
    pub dns: Option<DnsSettings>,
    /// Where packets come from and go to on the host.
    pub interface_kind: InterfaceKind,
    /// What leads into the userspace stack.
    pub offers: Offers,
}

/// Where packets come from and go to on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterfaceKind {
    /// TUN.
    Tun,
    /// The engine's own network stack.
    Userspace,
    /// TUN where the host gives one, else the own stack.
    Auto,
}

/// Why kept settings are not used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file or its folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// Not what was written.
    #[error("the settings file is damaged: start the daemon, which writes it anew")]
    Damaged,
}

impl Settings {
    /// Checks what came over the socket.
    ///
    /// # Errors
    /// Names the field.
    pub fn check(settings: pb::Settings) -> Result<Self, Failure> {
        let membership = settings.membership.as_ref().ok_or_else(|| {
            Failure::field(
                "settings.membership",
                "membership is not set",
                "send the membership with the settings",
            )
        })?;
        let name = &settings.interface_name;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.is_empty() || name.len() > 15 || !name.bytes().all(allowed) || matches!(name.as_str(), "." | "..") {
            let remedy = "use 1 to 15 of the bytes a-z A-Z 0-9 _ . -";
            return Err(Failure::field(
                "settings.interface_name",
                "this is no interface name",
                remedy,
            ));
        }
        let listen_port = u16::try_from(settings.listen_port)
            .map_err(|_| Failure::field("settings.listen_port", "this is no UDP port", "use 0 to 65535"))?;
        let mtu = match settings.mtu {
            0 => DEFAULT_MTU,
            mtu => u16::try_from(mtu)
                .ok()
                .filter(|mtu| MTU.contains(&u32::from(*mtu)))
                .ok_or_else(|| Failure::field("settings.mtu", "the MTU is out of range", "use 1280 to 9000, or 0"))?,
        };
        let interface_kind = match settings.interface_kind() {
            pb::InterfaceKind::Unspecified | pb::InterfaceKind::Tun => InterfaceKind::Tun,
            pb::InterfaceKind::Userspace => InterfaceKind::Userspace,
            pb::InterfaceKind::Auto => InterfaceKind::Auto,
        };
        let offers = Offers::check(&settings)?;
        if interface_kind == InterfaceKind::Tun && !offers.is_empty() {
            let field = if offers.proxy.is_some() {
                "settings.proxy_listen"
            } else {
                "settings.forwards"
            };
            return Err(Failure::field(
                field,
                "with a TUN interface every program reaches the overlay by itself",
                "leave it out, or set the interface kind to userspace or auto",
            ));
        }
        Ok(Self {
            membership: cvlan_map::Membership::try_from(membership).map_err(Failure::from)?,
            interface_name: settings.interface_name,
            listen_port,
            mtu,
            table_id: settings.table_id,
            dns: dns(settings.dns_listen, &settings.dns_fallback)?,
            interface_kind,
            offers,
        })
    }

    /// Reads what was kept; `None` when nothing was.
    ///
    /// # Errors
    /// When the file is damaged or others may read it.
    pub fn load(state: &StateDir) -> Result<Option<Self>, SettingsError> {
        let Some(file) = state.read(FILE)? else { return Ok(None) };
        let body = file.len().checked_sub(SUM).ok_or(SettingsError::Damaged)?;
        let (body, sum) = file.split_at_checked(body).ok_or(SettingsError::Damaged)?;
        if Sha256::digest(body).as_slice() != sum {
            return Err(SettingsError::Damaged);
        }
        let settings = pb::Settings::decode(body).map_err(|_| SettingsError::Damaged)?;
        Self::check(settings).map(Some).map_err(|_| SettingsError::Damaged)
    }

    /// Forgets what was kept.
    ///
    /// # Errors
    /// When the folder does not let it go.
    pub fn remove(state: &StateDir) -> Result<(), StateError> {
        state.remove(FILE)
    }

    /// Keeps them.
    ///
    /// # Errors
    /// When the disk does not take them; the former ones stay.
    pub fn store(&self, state: &StateDir) -> Result<(), StateError> {
        let mut settings = pb::Settings {
            membership: Some((&self.membership).into()),
            interface_name: self.interface_name.clone(),
            listen_port: self.listen_port.into(),
            mtu: self.mtu.into(),
            table_id: self.table_id,
            dns_listen: self.dns.as_ref().map(|dns| entity::NodeEndpoint {
                address: dns.listen.ip().to_string(),
                port: dns.listen.port().into(),
            }),
            dns_fallback: self
                .dns
                .iter()
                .flat_map(|dns| dns.fallback.iter().copied().map(upstream_to_wire))
                .collect(),
            interface_kind: match self.interface_kind {
                InterfaceKind::Tun => pb::InterfaceKind::Tun,
                InterfaceKind::Userspace => pb::InterfaceKind::Userspace,
                InterfaceKind::Auto => pb::InterfaceKind::Auto,
            }
            .into(),
            ..pb::Settings::default()
        };
        self.offers.write(&mut settings);
        let mut file = settings.encode_to_vec();
        let sum = Sha256::digest(&file);
        file.extend(sum);
        state.write(FILE, &file)
    }
}

fn dns(listen: Option<entity::NodeEndpoint>, fallback: &[entity::DnsUpstream]) -> Result<Option<DnsSettings>, Failure> {
    let Some(listen) = listen else { return Ok(None) };
    let address = listen.address.parse::<IpAddr>().ok().filter(IpAddr::is_loopback);
    let port = u16::try_from(listen.port).ok().filter(|port| *port != 0);
    let (Some(address), Some(port)) = (address, port) else {
        let remedy = "use an address of 127.0.0.0/8 or ::1, and a port of 1 to 65535";
        return Err(Failure::field(
            "settings.dns_listen",
            "this is no place to answer this host alone",
            remedy,
        ));
    };
    let fallback = upstreams("settings.dns_fallback", fallback)
        .map_err(|error| Failure::field(error.field, error.problem, "send at most 8 addresses of name servers"))?;
    Ok(Some(DnsSettings {
        listen: SocketAddr::new(address, port),
        fallback,
    }))
}
