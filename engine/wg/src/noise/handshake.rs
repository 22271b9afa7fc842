//! `Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s` (whitepaper, sections 5.4.2 to 5.4.5).

use super::aead::{Aead, TAG_BYTES};
use super::agreement::Secret;
use super::hash::{Hash, Key, hash, kdf1, kdf2, kdf3};
use super::message::{Initiation, Response};
use super::timestamp::Timestamp;
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

const CONSTRUCTION: &[u8] = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const IDENTIFIER: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";

/// The own static key.
pub struct Own {
    secret: Option<Secret>,
    public: [u8; 32],
}

impl Own {
    pub fn new(private: &[u8; 32]) -> Self {
        let secret = Secret::new(private);
        // A key that the library has no memory for agrees with nobody.
        let public = secret.as_ref().and_then(Secret::public).unwrap_or_default();
        Self { secret, public }
    }

    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    pub fn agree(&self, public: &[u8; 32]) -> Option<Key> {
        self.secret.as_ref()?.agree(public)
    }
}

/// What both sides know of a peer before a handshake.
pub struct Remote<'a> {
    pub public: &'a [u8; 32],
    /// The static keys' shared secret.
    pub shared: &'a Key,
}

/// Running hash and chaining key.
struct Transcript {
    hash: Hash,
    chaining: Key,
}

impl Transcript {
    fn new(responder: &[u8; 32]) -> Self {
        let chaining = hash(&[CONSTRUCTION]);
        let start = hash(&[&chaining, IDENTIFIER]);
        Self {
            hash: hash(&[&start, responder]),
            chaining: Zeroizing::new(chaining),
        }
    }

    fn mix_hash(&mut self, bytes: &[u8]) {
        self.hash = hash(&[&self.hash, bytes]);
    }

    fn mix_ephemeral(&mut self, public: &[u8; 32]) {
        self.chaining = kdf1(&self.chaining, public);
        self.mix_hash(public);
    }

    fn mix_secret(&mut self, shared: &Key) {
        self.chaining = kdf1(&self.chaining, shared.as_slice());
    }

    fn key_from(&mut self, shared: &Key) -> Key {
        let (chaining, key) = kdf2(&self.chaining, shared.as_slice());
        self.chaining = chaining;
        key
    }

    fn key_from_preshared(&mut self, preshared: &Key) -> Key {
        let (chaining, mixed, key) = kdf3(&self.chaining, preshared.as_slice());
        self.chaining = chaining;
        self.mix_hash(mixed.as_slice());
        key
    }

    /// Seals `N` bytes into `N + 16`, bound to everything before.
    fn seal<const N: usize, const M: usize>(&mut self, key: &Key, plain: &[u8; N]) -> Option<[u8; M]> {
        let mut sealed = [0; M];
        let (text, room) = sealed.split_at_mut_checked(N)?;
        text.copy_from_slice(plain);
        let tag = Aead::new(key)?.seal(0, &self.hash, text)?;
        (room.len() == TAG_BYTES).then(|| room.copy_from_slice(&tag))?;
        self.mix_hash(&sealed);
        Some(sealed)
    }

    fn open<const M: usize, const N: usize>(&mut self, key: &Key, sealed: &[u8; M]) -> Option<[u8; N]> {
        let mut text = *sealed;
        let length = Aead::new(key)?.open(0, &self.hash, &mut text)?;
        self.mix_hash(sealed);
        text.get(..length)?.try_into().ok()
    }

    /// The keys of a session: of the initiator's packets, of the responder's.
    fn split(self) -> (Key, Key) {
        kdf2(&self.chaining, &[])
    }
}

/// The keys of a new session and its index at the other side.
pub struct Established {
    pub send: Key,
    pub receive: Key,
    pub remote_index: u32,
}

/// An initiation of ours that waits for its response.
pub struct Pending {
    transcript: Transcript,
    ephemeral: Zeroizing<[u8; 32]>,
    pub index: u32,
}

impl Pending {
    /// A fresh initiation.
    pub fn initiate(
        own: &Own,
        remote: &Remote<'_>,
        index: u32,
        timestamp: &Timestamp,
        random: &mut dyn CryptoRngCore,
    ) -> Option<(Self, Initiation)> {
        let mut transcript = Transcript::new(remote.public);
        let mut ephemeral = Zeroizing::new([0; 32]);
        random.fill_bytes(&mut *ephemeral);
        let secret = Secret::new(&ephemeral)?;
        let public = secret.public()?;
        transcript.mix_ephemeral(&public);
        let key = transcript.key_from(&secret.agree(remote.public)?);
        let sealed_static = transcript.seal(&key, own.public())?;
        let key = transcript.key_from(remote.shared);
        let sealed_timestamp = transcript.seal(&key, timestamp.bytes())?;
        let initiation = Initiation {
            sender: index,
            ephemeral: public,
            sealed_static,
            sealed_timestamp,
        };
        let pending = Self {
            transcript,
            ephemeral,
            index,
        };
        Some((pending, initiation))
    }

    /// Takes the response. `None`: it is not one to this initiation, which stays as it was (tailscale/tailscale-rs#334).
    pub fn complete(&self, own: &Own, preshared: &Key, response: &Response) -> Option<Established> {
        let mut transcript = Transcript {
            hash: self.transcript.hash,
            chaining: self.transcript.chaining.clone(),
        };
        transcript.mix_ephemeral(&response.ephemeral);
        transcript.mix_secret(&Secret::new(&self.ephemeral)?.agree(&response.ephemeral)?);
        transcript.mix_secret(&own.agree(&response.ephemeral)?);
        let key = transcript.key_from_preshared(preshared);
        let _nothing: [u8; 0] = transcript.open(&key, &response.sealed_nothing)?;
        let (send, receive) = transcript.split();
        Some(Established {
            send,
            receive,
            remote_index: response.sender,
        })
    }
}

/// An initiation whose sender has shown its static key.
pub struct Received {
    transcript: Transcript,
    ephemeral: [u8; 32],
    sender: u32,
    sealed_timestamp: [u8; 28],
    pub public: [u8; 32],
}

impl Received {
    /// Opens the static key. Costs one agreement.
    pub fn open(own: &Own, initiation: &Initiation) -> Option<Self> {
        let mut transcript = Transcript::new(own.public());
        transcript.mix_ephemeral(&initiation.ephemeral);
        let key = transcript.key_from(&own.agree(&initiation.ephemeral)?);
        let public = transcript.open(&key, &initiation.sealed_static)?;
        Some(Self {
            transcript,
            ephemeral: initiation.ephemeral,
            sender: initiation.sender,
            sealed_timestamp: initiation.sealed_timestamp,
            public,
        })
    }

    /// Proves that the sender holds the static key, and says when it began.
    pub fn authenticate(mut self, remote: &Remote<'_>) -> Option<(Timestamp, Authentic)> {
        let key = self.transcript.key_from(remote.shared);
        let timestamp = self.transcript.open(&key, &self.sealed_timestamp)?;
        Some((Timestamp::from_bytes(timestamp), Authentic(self)))
    }
}

/// An initiation of a peer.
pub struct Authentic(Received);

impl Authentic {
    /// Answers. Costs two agreements and a key pair.
    pub fn respond(
        self,
        preshared: &Key,
        index: u32,
        random: &mut dyn CryptoRngCore,
    ) -> Option<(Established, Response)> {
        let Self(Received {
            mut transcript,
            ephemeral: theirs,
            sender,
            public,
            ..
        }) = self;
        let mut ephemeral = Zeroizing::new([0; 32]);
        random.fill_bytes(&mut *ephemeral);
        let secret = Secret::new(&ephemeral)?;
        let own_ephemeral = secret.public()?;
        transcript.mix_ephemeral(&own_ephemeral);
        transcript.mix_secret(&secret.agree(&theirs)?);
        transcript.mix_secret(&secret.agree(&public)?);
        let key = transcript.key_from_preshared(preshared);
        let sealed_nothing = transcript.seal(&key, &[])?;
        let (receive, send) = transcript.split();
        let response = Response {
            sender: index,
            receiver: sender,
            ephemeral: own_ephemeral,
            sealed_nothing,
        };
        let established = Established {
            send,
            receive,
            remote_index: sender,
        };
        Some((established, response))
    }
}
