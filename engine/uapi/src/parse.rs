//! From lines to requests.

use crate::key::from_hex;
use crate::{AllowedIp, Refused, SecretKey, SetDevice, SetPeer};
use cvlan_wire::Prefix;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Bytes of a line, without its end; the longest that has a meaning is a key.
pub const MAX_LINE: usize = 1024;
/// Bytes of a request, enough for 100,000 peers with an allowed IP each.
pub const MAX_REQUEST: usize = 16 << 20;

/// A whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Tell everything.
    Get,
    /// Change something.
    Set(SetDevice),
}

/// Collects the lines of one request after the other.
#[derive(Debug, Default)]
pub struct Parser {
    bytes: usize,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// Between requests.
    #[default]
    Idle,
    Get,
    Set(SetDevice),
    /// The rest of a request that cannot be carried out.
    Skipping(Refused),
}

impl Parser {
    /// Takes one line without its end. Says what was asked at the blank line that ends a request.
    ///
    /// # Errors
    /// [`Refused`] at the end of a request of which a line was wrong, or at once when it is too long: nobody can know
    /// where it would have ended, so nothing that follows may be read.
    pub fn line(&mut self, line: &str) -> Result<Option<Request>, Refused> {
        self.bytes += line.len() + 1;
        if self.bytes > MAX_REQUEST || line.len() > MAX_LINE {
            return Err(Refused::Protocol);
        }
        if line.is_empty() {
            self.bytes = 0;
            return match std::mem::take(&mut self.state) {
                State::Idle => Err(Refused::Protocol),
                State::Get => Ok(Some(Request::Get)),
                State::Set(set) => Ok(Some(Request::Set(set))),
                State::Skipping(why) => Err(why),
            };
        }
        let taken = match &mut self.state {
            State::Idle => match line {
                "get=1" => {
                    self.state = State::Get;
                    Ok(())
                }
                "set=1" => {
                    self.state = State::Set(SetDevice::default());
                    Ok(())
                }
                _ => Err(Refused::Protocol),
            },
            State::Get => Err(Refused::Invalid),
            State::Set(set) => set_line(set, line),
            State::Skipping(_) => Ok(()),
        };
        if let Err(why) = taken {
            self.state = State::Skipping(why);
        }
        Ok(None)
    }
}

fn set_line(set: &mut SetDevice, line: &str) -> Result<(), Refused> {
    let (key, value) = line.split_once('=').ok_or(Refused::Protocol)?;
    let understood = if key == "public_key" {
        from_hex(value).map(|key| set.peers.push(SetPeer::of(*key)))
    } else if let Some(peer) = set.peers.last_mut() {
        peer_line(peer, key, value)
    } else {
        device_line(set, key, value)
    };
    understood.ok_or(Refused::Invalid)
}

/// `None` for a key or value that is not known.
fn device_line(set: &mut SetDevice, key: &str, value: &str) -> Option<()> {
    match key {
        "private_key" => set.private_key = Some(SecretKey::new(from_hex(value)?)),
        "listen_port" => set.listen_port = Some(number(value)?),
        "fwmark" => set.fwmark = Some(number(value)?),
        "replace_peers" => set.replace_peers = is_true(value)?,
        _ => return None,
    }
    Some(())
}

/// `None` for a key or value that is not known.
fn peer_line(peer: &mut SetPeer, key: &str, value: &str) -> Option<()> {
    match key {
        "remove" => peer.remove = is_true(value)?,
        "update_only" => peer.update_only = is_true(value)?,
        "preshared_key" => peer.preshared_key = Some(SecretKey::new(from_hex(value)?)),
        "endpoint" => peer.endpoint = Some(endpoint(value)?),
        "persistent_keepalive_interval" => peer.persistent_keepalive = Some(number(value)?),
        "replace_allowed_ips" => {
            peer.replace_allowed_ips = is_true(value)?;
            peer.allowed_ips.clear();
        }
        "allowed_ip" => peer.allowed_ips.push(match value.strip_prefix('-') {
            Some(gone) => AllowedIp::Remove(prefix(gone)?),
            None => AllowedIp::Add(prefix(value)?),
        }),
        "protocol_version" if value == "1" => {}
        _ => return None,
    }
    Some(())
}

/// Decimal digits and nothing else: no sign, no space.
fn number<N: FromStr>(text: &str) -> Option<N> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// Flags are set or not mentioned.
fn is_true(value: &str) -> Option<bool> {
    (value == "true").then_some(true)
}

fn endpoint(text: &str) -> Option<SocketAddr> {
    text.parse().ok().filter(|endpoint: &SocketAddr| endpoint.port() != 0)
}

/// Host bits are taken off, as the kernel does it.
fn prefix(text: &str) -> Option<Prefix> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    Prefix::truncated(address, number(length)?).ok()
}
