//! The keys of the node, which are made here and never leave.
//!
//! The file holds 4 bytes `CVK1`, the WireGuard key, the control key (X25519, RFC 7748, 32 bytes each) and SHA-256 over
//! all of it before.

use crate::state_dir::{StateDir, StateError};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use rand_core::{OsRng, RngCore};
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

const FILE: &str = "keys";
const MAGIC: &[u8; 4] = b"CVK1";
const BODY: usize = 4 + 32 + 32;
/// Binds a proof to its purpose; see `JoinRequest` in registry.proto.
const PURPOSE: &[u8] = b"cloudvlan/join/v1";

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file or its folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// Another key would be another node, so a damaged file is not replaced in silence.
    #[error("the key file is damaged: restore it from a backup, or remove the state directory and join again")]
    Damaged,
}

/// The peer's public key is of low order, so that the shared secret would be zero (RFC 7748, section 6.1).
#[derive(Debug, thiserror::Error)]
#[error("server_public_key is of low order: the server is not who it says, or damaged in transit")]
pub struct LowOrder;

/// The two private keys of a node; wiped when dropped.
pub struct Keys {
    wireguard: StaticSecret,
    control: StaticSecret,
}

/// Proofs of possession, HMAC-SHA256.
#[derive(Debug, PartialEq, Eq)]
pub struct Proofs {
    /// With the WireGuard key.
    pub wireguard: [u8; 32],
    /// With the control key.
    pub control: [u8; 32],
}

impl Keys {
    /// Reads the keys; `None` when none were made yet.
    ///
    /// # Errors
    /// When the file is damaged or others may read it.
    pub fn load(state: &StateDir) -> Result<Option<Self>, KeyError> {
        state.read(FILE)?.map(|bytes| Self::parse(&bytes)).transpose()
    }

    /// Reads the keys, making them the first time.
    ///
    /// # Errors
    /// As [`Keys::load`], and when the file cannot be written: keys that are not kept are not used.
    pub fn load_or_make(state: &StateDir) -> Result<Self, KeyError> {
        if let Some(keys) = Self::load(state)? {
            return Ok(keys);
        }
        let mut file = Zeroizing::new([0; BODY + 32]);
        let (body, sum) = file.split_at_mut(BODY);
        let (magic, secrets) = body.split_at_mut(MAGIC.len());
        magic.copy_from_slice(MAGIC);
        OsRng.fill_bytes(secrets);
        sum.copy_from_slice(&Sha256::digest(body));
        state.write(FILE, file.as_slice())?;
        Self::parse(file.as_slice())
    }

    fn parse(file: &[u8]) -> Result<Self, KeyError> {
        let file: &[u8; BODY + 32] = file.try_into().map_err(|_| KeyError::Damaged)?;
        let (body, sum) = file.split_at(BODY);
        let secrets = body.strip_prefix(MAGIC).ok_or(KeyError::Damaged)?;
        if Sha256::digest(body).as_slice() != sum {
            return Err(KeyError::Damaged);
        }
        let secret = |half: &[u8]| {
            let bytes = Zeroizing::new(<[u8; 32]>::try_from(half).map_err(|_| KeyError::Damaged)?);
            Ok::<_, KeyError>(StaticSecret::from(*bytes))
        };
        let (wireguard, control) = secrets.split_at(32);
        Ok(Self {
            wireguard: secret(wireguard)?,
            control: secret(control)?,
        })
    }

    /// X25519 public key of the WireGuard interface.
    #[must_use]
    pub fn wireguard_public(&self) -> [u8; 32] {
        PublicKey::from(&self.wireguard).to_bytes()
    }

    /// X25519 public key of the control protocol.
    #[must_use]
    pub fn control_public(&self) -> [u8; 32] {
        PublicKey::from(&self.control).to_bytes()
    }

    /// The WireGuard key in the form that its state takes.
    #[must_use]
    pub fn wireguard_static(&self) -> cvlan_wg::StaticKey {
        cvlan_wg::StaticKey::new(Zeroizing::new(self.wireguard.to_bytes()))
    }

    /// Proves possession of both keys to the holder of `server`, as `JoinRequest` in registry.proto defines it.
    ///
    /// # Errors
    /// When `server` is of low order.
    pub fn prove(&self, server: [u8; 32], challenge: &[u8], transcript: &[u8; 32]) -> Result<Proofs, LowOrder> {
        Ok(Proofs {
            wireguard: proof(&self.wireguard, server, challenge, b"wireguard", transcript)?,
            control: proof(&self.control, server, challenge, b"control", transcript)?,
        })
    }
}

fn proof(
    private: &StaticSecret,
    server: [u8; 32],
    challenge: &[u8],
    label: &[u8],
    transcript: &[u8; 32],
) -> Result<[u8; 32], LowOrder> {
    let shared = private.diffie_hellman(&PublicKey::from(server));
    if !shared.was_contributory() {
        return Err(LowOrder);
    }
    let mut key = Zeroizing::new([0; 32]);
    // Both fail only for lengths that do not occur: 32 bytes are less than 255 hashes, HMAC takes a key of any length.
    Hkdf::<Sha256>::new(Some(challenge), shared.as_bytes())
        .expand(PURPOSE, key.as_mut())
        .map_err(|_| LowOrder)?;
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key.as_ref()).map_err(|_| LowOrder)?;
    for part in [PURPOSE, b"\0", label, transcript] {
        mac.update(part);
    }
    Ok(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, StateDir) {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(&folder.path().join("engine")).unwrap();
        (folder, state)
    }

    #[test]
    fn keys_are_made_once_and_differ() {
        let (_folder, state) = state();
        assert!(Keys::load(&state).unwrap().is_none());
        let made = Keys::load_or_make(&state).unwrap();
        let again = Keys::load_or_make(&state).unwrap();
        assert_eq!(made.wireguard_public(), again.wireguard_public());
        assert_eq!(made.control_public(), again.control_public());
        assert_ne!(made.wireguard_public(), made.control_public());
    }

    #[test]
    fn a_damaged_file_is_refused_and_left_alone() {
        let (_folder, state) = state();
        Keys::load_or_make(&state).unwrap();
        let good = state.read(FILE).unwrap().unwrap();
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            assert!(matches!(Keys::parse(&bad), Err(KeyError::Damaged)), "byte {at}");
        }
        state.write(FILE, &good[..40]).unwrap();
        assert!(matches!(Keys::load_or_make(&state), Err(KeyError::Damaged)));
        assert_eq!(state.read(FILE).unwrap().unwrap().len(), 40);
    }

    #[test]
    fn the_server_computes_the_same_proof_from_its_own_half() {
        let (_folder, state) = state();
        let keys = Keys::load_or_make(&state).unwrap();
        let server = StaticSecret::from([9; 32]);
        let proofs = keys
            .prove(PublicKey::from(&server).to_bytes(), b"challenge", &[7; 32])
            .unwrap();
        let expected = |public, label: &[u8]| proof(&server, public, b"challenge", label, &[7; 32]).unwrap();
        assert_eq!(proofs.wireguard, expected(keys.wireguard_public(), b"wireguard"));
        assert_eq!(proofs.control, expected(keys.control_public(), b"control"));
        assert_ne!(proofs.wireguard, expected(keys.control_public(), b"wireguard"));
    }

    #[test]
    fn a_server_key_of_low_order_is_refused() {
        let (_folder, state) = state();
        let keys = Keys::load_or_make(&state).unwrap();
        let mut one = [0; 32];
        one[0] = 1;
        for low in [[0; 32], one] {
            assert!(keys.prove(low, b"challenge", &[0; 32]).is_err());
        }
    }
}
