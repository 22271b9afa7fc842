//! The control socket: 0600 in a 0700 folder, for root and the own user alone.

use crate::engine::Engine;
use crate::rpc::Service;
use crate::state_dir::StateDir;
use cloudvlan_gen::cloudvlan::engine::v1::engine_service_server::EngineServiceServer;
use std::fs::{self, Permissions};
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener as BlockingListener, UnixStream as BlockingStream};
use std::path::Path;
use std::sync::Arc;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

/// Largest request, bytes.
const MAX_MESSAGE: usize = 16 << 20;
/// Streams of one connection.
const MAX_STREAMS: u32 = 64;

/// Binds the socket, in a folder that nobody else may enter. One that a dead process left is replaced.
///
/// # Errors
/// `AddrInUse` when a live engine answers there, `AlreadyExists` when something else than a socket is there, and when the
/// folder is open to others.
pub fn bind(path: &Path) -> io::Result<BlockingListener> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    StateDir::open(folder.unwrap_or(Path::new("."))).map_err(io::Error::other)?;
    clear(path)?;
    let listener = BlockingListener::bind(path)?;
    // Until here the folder, which nobody else may enter, has protected it.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Makes way for a socket: takes away one that nobody answers on.
///
/// # Errors
/// `AddrInUse` when somebody answers, `AlreadyExists` when it is no socket.
pub(crate) fn clear(path: &Path) -> io::Result<()> {
    match BlockingStream::connect(path) {
        Ok(_) => {
            let text = format!("an engine answers on {}: stop it, or use another path", path.display());
            Err(io::Error::new(io::ErrorKind::AddrInUse, text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => remove_socket(path),
        Err(error) => Err(error),
    }
}

/// Connecting to a file of any kind is refused as if a socket's owner were dead.
fn remove_socket(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.file_type().is_socket() {
        return fs::remove_file(path);
    }
    let text = format!("{} is no socket: name another path", path.display());
    Err(io::Error::new(io::ErrorKind::AlreadyExists, text))
}

/// Serves until `end` is done, then lets calls under way finish. `asked` is notified when a caller wants the end.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    engine: Arc<Engine>,
    listener: BlockingListener,
    asked: Arc<Notify>,
    end: impl Future<Output = ()>,
) -> io::Result<()> {
    let service = EngineServiceServer::new(Service::new(engine, asked)).max_decoding_message_size(MAX_MESSAGE);
    let connections = UnixListenerStream::new(listening(listener)?).filter(|connection| match connection {
        Ok(stream) => permitted(stream),
        Err(_) => true,
    });
    Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .add_service(service)
        .serve_with_incoming_shutdown(connections, end)
        .await
        .map_err(io::Error::other)
}

/// A listener as the runtime takes it.
///
/// # Errors
/// When it cannot be watched.
pub(crate) fn listening(listener: BlockingListener) -> io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// By what the kernel says of the other end, never by what it says of itself.
pub(crate) fn permitted(stream: &UnixStream) -> bool {
    let own = cvlan_io::effective_uid();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == 0 || peer.uid() == own => true,
        Ok(peer) => {
            tracing::warn!(
                uid = peer.uid(),
                "connection refused: neither root nor the user of this engine"
            );
            false
        }
        Err(error) => {
            tracing::warn!(%error, "connection refused: the kernel does not say whose it is");
            false
        }
    }
}
