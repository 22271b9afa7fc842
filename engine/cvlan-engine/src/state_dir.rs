//! The folder that holds everything an engine keeps.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

/// Longest file that is read from the folder, bytes.
const MAX_FILE: u64 = 64 << 10;
/// How long an engine that holds the folder is given to end, and how often it is looked whether it has.
const HOLD_PATIENCE: Duration = Duration::from_secs(2);
const HOLD_RETRY: Duration = Duration::from_millis(10);

/// Why the folder or a file in it is not used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Others than the owner may enter.
    #[error("{path} has mode {mode:03o}: run `chmod {wanted:03o} {path}`")]
    Mode {
        /// What it is about.
        path: PathBuf,
        /// Permission bits that were found.
        mode: u32,
        /// Permission bits that are right.
        wanted: u32,
    },
    /// Not our own.
    #[error("{path} belongs to uid {owner}, this process runs as uid {own}: run `chown {own} {path}`")]
    Owner {
        /// What it is about.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        own: u32,
    },
    /// Neither a folder nor a file, or of an impossible size.
    #[error("{path} {problem}")]
    Content {
        /// What it is about.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: &'static str,
    },
    /// What the system said.
    #[error("{path}: {source}")]
    Io {
        /// What it is about.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A folder of mode 0700 that belongs to the user of this process.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// Opens the folder, making it when it is not there.
    ///
    /// # Errors
    /// When others may enter it, when it belongs to somebody else, or when it cannot be made.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let io = |source| StateError::Io {
            path: path.to_owned(),
            source,
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
        let metadata = fs::metadata(path).map_err(io)?;
        check(path, &metadata, 0o700)?;
        Ok(Self { path: path.to_owned() })
    }

    /// Makes this process the only engine of the folder, until the result is dropped or the process ends. One that is
    /// just ending is waited for.
    ///
    /// # Errors
    /// When another engine goes on holding it.
    pub fn hold(&self) -> Result<File, StateError> {
        let path = self.path.join("lock");
        let io = |source| StateError::Io {
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(cvlan_io::O_NOFOLLOW)
            .open(&path)
            .map_err(io)?;
        let deadline = Instant::now() + HOLD_PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(HOLD_RETRY),
                Err(TryLockError::WouldBlock) => {
                    return Err(StateError::Content {
                        path: self.path.clone(),
                        problem: "is held by another engine: stop it, or use another state directory",
                    });
                }
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
        }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a file of mode 0600; `None` when there is none.
    ///
    /// # Errors
    /// When others may read it, when it belongs to somebody else or is longer than 64 KiB.
    pub fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StateError> {
        let path = self.path.join(name);
        let io = |source| StateError::Io {
            path: path.clone(),
            source,
        };
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags(cvlan_io::O_NOFOLLOW)
            .open(&path)
        {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let metadata = file.metadata().map_err(io)?;
        check(&path, &metadata, 0o600)?;
        if !metadata.is_file() || metadata.len() > MAX_FILE {
            return Err(StateError::Content {
                path,
                problem: "is no file of ours: move it away",
            });
        }
        // Reserved at once: a buffer that grows would leave copies of a key behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(
            usize::try_from(metadata.len()).unwrap_or_default() + 1,
        ));
        file.take(MAX_FILE).read_to_end(&mut bytes).map_err(io)?;
        Ok(Some(bytes))
    }

    /// Replaces a file whole: after a crash there is the old one or the new one.
    ///
    /// # Errors
    /// When the disk is full or read-only; the old file stays.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.path.join(name);
        let temporary = self.path.join(format!("{name}.new"));
        let written = remove_if_there(&temporary)
            .and_then(|()| {
                OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&temporary)
            })
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| File::open(&self.path)?.sync_all());
        written.map_err(|source| {
            // The error of the write is the one that matters.
            let _ = remove_if_there(&temporary);
            StateError::Io { path, source }
        })
    }

    /// Removes a file; that there is none is no error.
    ///
    /// # Errors
    /// When the folder does not let it go.
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.path.join(name);
        let removed = remove_if_there(&path).and_then(|()| File::open(&self.path)?.sync_all());
        removed.map_err(|source| StateError::Io { path, source })
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn check(path: &Path, metadata: &fs::Metadata, wanted: u32) -> Result<(), StateError> {
    let own = cvlan_io::effective_uid();
    if metadata.uid() != own {
        return Err(StateError::Owner {
            path: path.to_owned(),
            owner: metadata.uid(),
            own,
        });
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StateError::Mode {
            path: path.to_owned(),
            mode,
            wanted,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let state = StateDir::open(&path).unwrap();
        state.write("keys", b"secret").unwrap();
        assert_eq!(state.read("keys").unwrap().unwrap().as_slice(), b"secret");
        assert_eq!(fs::metadata(path.join("keys")).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(path.join("keys"), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(state.read("keys"), Err(StateError::Mode { mode: 0o644, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(
            StateDir::open(&path),
            Err(StateError::Mode { mode: 0o755, .. })
        ));
    }

    #[test]
    fn a_link_in_place_of_a_file_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let state = StateDir::open(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path.join("keys")).unwrap();
        assert!(state.read("keys").is_err());
    }

    #[test]
    fn a_missing_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(&folder.path().join("state")).unwrap();
        assert!(state.read("keys").unwrap().is_none());
    }
}
