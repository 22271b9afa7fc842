//! The socket on which `wg` finds an interface (wireguard.com/xplatform): root and the own user alone.

use crate::server;
use cvlan_uapi::{Device, MAX_LINE, Parser, Peer, PublicKey, Refused, Request, SetDevice};
use cvlan_wg::PeerStats;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Where `wg` looks.
pub const FOLDER: &str = "/var/run/wireguard";
/// Conversations at a time; who comes beyond is hung up on.
const MAX_CONVERSATIONS: usize = 16;
/// Silence after which the other end is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Before another try when the system has no descriptor for a caller.
const BACK_OFF: Duration = Duration::from_millis(100);

/// An interface that tells of itself and may let itself be changed.
pub trait Configured: Send + Sync + 'static {
    /// Everything there is to tell.
    fn get(&self) -> Device;

    /// Changes what is wanted.
    ///
    /// # Errors
    /// [`Refused`], and nothing is changed.
    fn set(&self, wanted: SetDevice) -> Result<(), Refused>;
}

/// What sessions know of a peer.
pub fn told(public_key: PublicKey, stats: Option<&PeerStats>) -> Peer {
    let handshake = stats.and_then(|stats| stats.latest_handshake);
    Peer {
        public_key,
        preshared_key: None,
        endpoint: stats.and_then(|stats| stats.endpoint),
        last_handshake: handshake.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()),
        tx_bytes: stats.map_or(0, |stats| stats.bytes_sent),
        rx_bytes: stats.map_or(0, |stats| stats.bytes_received),
        persistent_keepalive: stats.and_then(|stats| stats.persistent_keepalive).unwrap_or(0),
        allowed_ips: Vec::new(),
    }
}

/// A bound socket; its file goes away with it.
pub struct UapiSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl UapiSocket {
    /// Binds the socket of an interface. The folder is made with mode 0700 when it is not there; a socket that a dead process
    /// left is replaced.
    ///
    /// # Errors
    /// `AddrInUse` when a live process answers there; when the folder may not be written.
    pub fn bind(folder: &Path, interface: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let path = folder.join(format!("{interface}.sock"));
        server::clear(&path)?;
        let listener = UnixListener::bind(&path)?;
        // Until here it was the folder, and in an open one the caller's credentials, that kept others out.
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Answers until dropped.
    pub async fn serve(self, device: Arc<dyn Configured>) {
        let slots = Arc::new(Semaphore::new(MAX_CONVERSATIONS));
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(BACK_OFF).await;
                continue;
            };
            let Ok(slot) = slots.clone().try_acquire_owned() else {
                continue;
            };
            if server::permitted(&stream) {
                let device = device.clone();
                tokio::spawn(async move {
                    // The other end hung up, or was given up: nobody is left to be told.
                    let _ = converse(stream, device).await;
                    drop(slot);
                });
            }
        }
    }
}

impl Drop for UapiSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn converse(mut stream: UnixStream, device: Arc<dyn Configured>) -> io::Result<()> {
    let mut lines = Lines::default();
    let mut parser = Parser::default();
    while let Some(line) = lines.next(&mut stream).await? {
        // What is no text is no key either.
        let line = std::str::from_utf8(line).unwrap_or("\u{fffd}");
        let ends = line.is_empty();
        match parser.line(line) {
            Ok(None) => {}
            Ok(Some(request)) => {
                let device = device.clone();
                let answer = tokio::task::spawn_blocking(move || carry_out(&*device, request)).await?;
                stream.write_all(answer.as_bytes()).await?;
            }
            Err(why) => {
                stream.write_all(Refused::answer(Err(why)).as_bytes()).await?;
                if !ends {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

fn carry_out(device: &dyn Configured, request: Request) -> Zeroizing<String> {
    match request {
        Request::Get => device.get().answer(),
        Request::Set(wanted) => Zeroizing::new(Refused::answer(device.set(wanted))),
    }
}

/// Splits what comes into lines. They hold keys, so the room is wiped when dropped.
struct Lines {
    room: Zeroizing<Vec<u8>>,
    begin: usize,
    end: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            room: Zeroizing::new(vec![0; 4 * MAX_LINE]),
            begin: 0,
            end: 0,
        }
    }
}

impl Lines {
    /// The next line without its end; `None` when there is none any more.
    async fn next(&mut self, stream: &mut UnixStream) -> io::Result<Option<&[u8]>> {
        let length = loop {
            let unread = self.room.get(self.begin..self.end).unwrap_or_default();
            if let Some(length) = unread.iter().position(|byte| *byte == b'\n') {
                break length;
            }
            if unread.len() > MAX_LINE {
                break unread.len();
            }
            self.room.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
            let free = self.room.get_mut(self.end..).unwrap_or_default();
            match tokio::time::timeout(PATIENCE, stream.read(free)).await?? {
                0 => return Ok(None),
                count => self.end += count,
            }
        };
        let line = self.begin..self.begin + length;
        self.begin = (line.end + 1).min(self.end);
        Ok(self.room.get(line))
    }
}
