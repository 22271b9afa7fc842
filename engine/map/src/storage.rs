//! Where a state lies on disk.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A stored state is never larger than this, in bytes: 40,000 records of 4 KiB and what goes with them.
const MAX_FILE: u64 = 256 * 1024 * 1024;

/// Which of the two states that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The newest.
    Current,
    /// The one before.
    Previous,
}

/// Keeps the newest state and the one before.
pub trait Storage {
    /// The bytes in a slot; None when there never were any.
    ///
    /// # Errors
    /// Whatever keeps the bytes from being read.
    fn read(&self, slot: Slot) -> io::Result<Option<Vec<u8>>>;

    /// Makes `bytes` the current state and the former current state the previous one, durably.
    ///
    /// # Errors
    /// After an error the current slot holds what it held.
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Puts a damaged current state aside, so that it never becomes the previous one.
    ///
    /// # Errors
    /// Whatever keeps it from being moved.
    fn set_aside(&mut self) -> io::Result<()>;
}

/// Two files in a folder: `map` and `map.previous`; a damaged one is put aside as `map.damaged`.
#[derive(Debug)]
pub struct FileStorage {
    folder: PathBuf,
}

impl FileStorage {
    /// Uses an existing folder.
    ///
    /// # Errors
    /// When `folder` is not a folder that can be read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::read_dir(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    /// Links instead of renaming, so that there is a current state at every moment.
    fn keep_previous(&self, current: &Path, previous: &Path) -> io::Result<()> {
        if !current.try_exists()? {
            return Ok(());
        }
        let link = self.path("map.link");
        remove_if_there(&link)?;
        fs::hard_link(current, &link)?;
        fs::rename(&link, previous)
    }
}

impl FileStorage {
    /// Makes the previous state the current one again; without one there was none before.
    fn bring_back(&self, current: &Path, previous: &Path) -> io::Result<()> {
        if !previous.try_exists()? {
            return fs::remove_file(current);
        }
        let link = self.path("map.link");
        remove_if_there(&link)?;
        fs::hard_link(previous, &link)?;
        fs::rename(&link, current)
    }
}

impl Storage for FileStorage {
    fn read(&self, slot: Slot) -> io::Result<Option<Vec<u8>>> {
        let path = self.path(match slot {
            Slot::Current => "map",
            Slot::Previous => "map.previous",
        });
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (new, current, previous) = (self.path("map.new"), self.path("map"), self.path("map.previous"));
        if let Err(error) = self.write_new(&new, bytes) {
            // The space of the half-written file is worth more than a second error.
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        self.keep_previous(&current, &previous)?;
        fs::rename(&new, &current)?;
        if let Err(error) = self.sync_folder() {
            self.bring_back(&current, &previous)?;
            return Err(error);
        }
        Ok(())
    }

    fn set_aside(&mut self) -> io::Result<()> {
        fs::rename(self.path("map"), self.path("map.damaged"))?;
        self.sync_folder()
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
