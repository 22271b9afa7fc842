//! The MACs of handshake messages and the cookies behind the second one (whitepaper, sections 5.4.4 and 5.4.7).

use crate::noise::aead::{open_extended, seal_extended};
use crate::noise::hash::{Hash, MAC_BYTES, hash, mac};
use crate::noise::message::{CookieReply, take};
use rand_core::CryptoRngCore;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// How long a cookie counts, and the secret that it is made from.
const COOKIE_LIFE: Duration = Duration::from_secs(120);
/// How much earlier than that the holder stops using it: it takes its time to arrive.
const LATENCY: Duration = Duration::from_secs(5);

type Mac = [u8; MAC_BYTES];

fn mac1_key(public: &[u8; 32]) -> Hash {
    hash(&[b"mac1----", public])
}

fn cookie_key(public: &[u8; 32]) -> Hash {
    hash(&[b"cookie--", public])
}

/// What is before the two MACs, and these.
fn split_macs(message: &[u8]) -> Option<(&[u8], Mac, Mac)> {
    let body = message.get(..message.len().checked_sub(2 * MAC_BYTES)?)?;
    Some((body, take(message, body.len())?, take(message, body.len() + MAC_BYTES)?))
}

/// Judges the MACs of what comes, and gives out cookies.
pub struct Checker {
    mac1_key: Hash,
    cookie_key: Hash,
    secret: Mutex<Secret>,
}

struct Secret {
    bytes: Zeroizing<[u8; 32]>,
    made: Option<Instant>,
}

impl Checker {
    pub fn new(public: &[u8; 32]) -> Self {
        Self {
            mac1_key: mac1_key(public),
            cookie_key: cookie_key(public),
            secret: Mutex::new(Secret {
                bytes: Zeroizing::new([0; 32]),
                made: None,
            }),
        }
    }

    /// Whether the sender knows our public key.
    pub fn knows_us(&self, message: &[u8]) -> bool {
        split_macs(message).is_some_and(|(body, mac1, _)| {
            mac(&self.mac1_key, &[body]).is_some_and(|expected| expected.ct_eq(&mac1).into())
        })
    }

    /// The cookie of an address and port at this time.
    pub fn cookie(&self, now: Instant, from: SocketAddr, random: &mut dyn CryptoRngCore) -> Option<Mac> {
        let mut secret = self.secret.lock().unwrap_or_else(PoisonError::into_inner);
        if secret
            .made
            .is_none_or(|made| now.saturating_duration_since(made) >= COOKIE_LIFE)
        {
            random.fill_bytes(&mut *secret.bytes);
            secret.made = Some(now);
        }
        let port = from.port().to_be_bytes();
        match from.ip().to_canonical() {
            IpAddr::V4(ip) => mac(secret.bytes.as_slice(), &[&ip.octets(), &port]),
            IpAddr::V6(ip) => mac(secret.bytes.as_slice(), &[&ip.octets(), &port]),
        }
    }

    /// The secret that counts now, and since when it does.
    pub fn tell_secret(&self, now: Instant) -> Option<(Zeroizing<[u8; 32]>, Duration)> {
        let secret = self.secret.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.saturating_duration_since(secret.made?);
        (age < COOKIE_LIFE).then(|| (secret.bytes.clone(), age))
    }

    /// Goes on with a secret, so that the cookies made from it count.
    pub fn adopt_secret(&self, bytes: Zeroizing<[u8; 32]>, made: Instant) {
        let mut secret = self.secret.lock().unwrap_or_else(PoisonError::into_inner);
        *secret = Secret {
            bytes,
            made: Some(made),
        };
    }

    /// Whether the sender holds this cookie.
    pub fn holds(&self, cookie: &Mac, message: &[u8]) -> bool {
        split_macs(message).is_some_and(|(body, mac1, mac2)| {
            mac(cookie, &[body, &mac1]).is_some_and(|expected| expected.ct_eq(&mac2).into())
        })
    }

    /// A cookie for the sender of this message.
    pub fn reply(&self, cookie: Mac, message: &[u8], random: &mut dyn CryptoRngCore) -> Option<CookieReply> {
        let (_, mac1, _) = split_macs(message)?;
        let mut nonce = [0; 24];
        random.fill_bytes(&mut nonce);
        let mut sealed_cookie = cookie;
        let tag = seal_extended(&self.cookie_key, &nonce, &mac1, &mut sealed_cookie)?;
        Some(CookieReply {
            receiver: u32::from_le_bytes(take(message, 4)?),
            nonce,
            sealed_cookie,
            tag,
        })
    }
}

/// What a peer gave us to prove our address with, and the message it may give another for.
#[derive(Default)]
pub struct Jar {
    cookie: Option<(Mac, Instant)>,
    asked_with: Option<Mac>,
}

impl Jar {
    /// Fills in both MACs of a message to the peer of this key; the second stays zero without a cookie.
    pub fn sign(&mut self, now: Instant, public: &[u8; 32], message: &mut [u8]) -> Option<()> {
        let (rest, mac2) = message.split_last_chunk_mut::<MAC_BYTES>()?;
        let (body, mac1) = rest.split_last_chunk_mut::<MAC_BYTES>()?;
        *mac1 = mac(&mac1_key(public), &[body])?;
        self.asked_with = Some(*mac1);
        let usable = |made: Instant| now.saturating_duration_since(made) < COOKIE_LIFE - LATENCY;
        *mac2 = match self.cookie.filter(|(_, made)| usable(*made)) {
            Some((cookie, _)) => mac(&cookie, &[rest])?,
            None => [0; MAC_BYTES],
        };
        Some(())
    }

    /// The cookie that is held, and since when.
    pub fn tell(&self, now: Instant) -> Option<(Mac, Duration)> {
        self.cookie
            .map(|(cookie, made)| (cookie, now.saturating_duration_since(made)))
    }

    /// Holds a cookie that came at another time.
    pub fn adopt(&mut self, cookie: Mac, made: Instant) {
        self.cookie = Some((cookie, made));
    }

    /// Takes a cookie from the peer of this key, one for each message that we sent it.
    pub fn take(&mut self, now: Instant, public: &[u8; 32], reply: &CookieReply) -> Option<()> {
        let mut cookie = reply.sealed_cookie;
        let asked_with = self.asked_with?;
        open_extended(&cookie_key(public), &reply.nonce, &asked_with, &mut cookie, &reply.tag)?;
        self.asked_with = None;
        self.cookie = Some((cookie, now));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::OsRng;

    const PUBLIC: [u8; 32] = [5; 32];

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    /// mullvad/gotatun 0.6.0: the port was left out, so that one user behind a NAT could use another's cookie.
    #[test]
    fn a_cookie_holds_for_its_address_and_port_and_two_minutes() {
        let (checker, mut jar, now) = (Checker::new(&PUBLIC), Jar::default(), Instant::now());
        let mut message = [1; 148];
        jar.sign(now, &PUBLIC, &mut message).unwrap();
        assert!(checker.knows_us(&message));
        let home = at("192.0.2.1:1000");
        let cookie = checker.cookie(now, home, &mut OsRng).unwrap();
        assert!(!checker.holds(&cookie, &message));
        let reply = checker.reply(cookie, &message, &mut OsRng).unwrap();
        jar.take(now, &PUBLIC, &reply).unwrap();
        assert!(jar.take(now, &PUBLIC, &reply).is_none(), "one for each message");
        jar.sign(now, &PUBLIC, &mut message).unwrap();
        let holds = |from, now| checker.holds(&checker.cookie(now, from, &mut OsRng).unwrap(), &message);
        assert!(holds(home, now));
        assert!(holds(at("[::ffff:192.0.2.1]:1000"), now), "the same address");
        assert!(!holds(at("192.0.2.1:1001"), now) && !holds(at("192.0.2.2:1000"), now));
        assert!(!holds(home, now + COOKIE_LIFE));
        let mut late = [1; 148];
        jar.sign(now + COOKIE_LIFE, &PUBLIC, &mut late).unwrap();
        assert_eq!(late[132..], [0; 16], "an old cookie is not used");
    }

    #[test]
    fn a_cookie_of_somebody_else_is_refused() {
        let (checker, mut jar, now) = (Checker::new(&[6; 32]), Jar::default(), Instant::now());
        let mut message = [1; 92];
        jar.sign(now, &PUBLIC, &mut message).unwrap();
        assert!(!checker.knows_us(&message));
        let reply = checker.reply([7; 16], &message, &mut OsRng).unwrap();
        assert!(jar.take(now, &PUBLIC, &reply).is_none());
    }
}
