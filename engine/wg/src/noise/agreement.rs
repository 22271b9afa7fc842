//! X25519 (RFC 7748) through AWS-LC.

use super::hash::Key;
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use zeroize::Zeroizing;

/// A private key, held and wiped by the library.
pub struct Secret(PrivateKey);

impl Secret {
    /// `None` when the library has no memory left.
    pub fn new(bytes: &[u8; 32]) -> Option<Self> {
        PrivateKey::from_private_key(&X25519, bytes).ok().map(Self)
    }

    /// The public half.
    pub fn public(&self) -> Option<[u8; 32]> {
        let public = self.0.compute_public_key().ok()?;
        public.as_ref().try_into().ok()
    }

    /// The shared secret; `None` when the other key is of low order (RFC 7748, section 6.1).
    pub fn agree(&self, public: &[u8; 32]) -> Option<Key> {
        agree(&self.0, UnparsedPublicKey::new(&X25519, public), (), |shared| {
            shared.try_into().map(Zeroizing::new).map_err(|_| ())
        })
        .ok()
    }
}
