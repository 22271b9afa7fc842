//! Where a state lies on disk.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A stored state is never larger than this, in bytes: 40,000 records of 4 KiB and what goes with them.
const MAX_FILE: u64 = 256 * 1024 * 1024;

const JOURNAL: &str = "map.journal";
const PREVIOUS_JOURNAL: &str = "map.previous.journal";

/// Which of the two states that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The newest.
    Current,
    /// The one before.
    Previous,
}

/// Keeps the newest state and the one before, and beside each the steps that came after it.
pub trait Storage {
    /// The bytes in a slot; None when there never were any.
    ///
    /// # Errors
    /// Whatever keeps the bytes from being read.
    fn read(&self, slot: Slot) -> io::Result<Option<Vec<u8>>>;

    /// The journal that lies beside the state of a slot, or the one of the other slot: after a crash it may lie there.
    ///
    /// # Errors
    /// Whatever keeps the bytes from being read.
    fn journal(&self, slot: Slot) -> io::Result<Option<Vec<u8>>>;

    /// Makes `bytes` the current state and the former current state, with its journal, the previous one, durably.
    ///
    /// # Errors
    /// After an error the current slot holds what it held, and its journal must not be appended to.
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Puts `bytes` at `offset` of the journal of the current state, durably; what was behind is cut off. The first
    /// offset is 0.
    ///
    /// # Errors
    /// After an error the journal must not be appended to.
    fn append(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Puts a damaged current state aside, so that it never becomes the previous one.
    ///
    /// # Errors
    /// Whatever keeps it from being moved.
    fn set_aside(&mut self) -> io::Result<()>;
}

/// Files in a folder: `map` and `map.previous`, `map.journal` and `map.previous.journal`; a damaged state is put aside
/// as `map.damaged`.
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
        fs::rename(&link, previous)?;
        self.keep_previous_journal()
    }
}

impl FileStorage {
    /// The journal goes with its state. It names the state, so that it may lie beside either at any moment.
    fn keep_previous_journal(&self) -> io::Result<()> {
        let (journal, previous) = (self.path(JOURNAL), self.path(PREVIOUS_JOURNAL));
        match fs::rename(journal, &previous) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => remove_if_there(&previous),
            done => done,
        }
    }

    fn read_file(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

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
        self.read_file(match slot {
            Slot::Current => "map",
            Slot::Previous => "map.previous",
        })
    }

    fn journal(&self, slot: Slot) -> io::Result<Option<Vec<u8>>> {
        self.read_file(match slot {
            Slot::Current => JOURNAL,
            Slot::Previous => PREVIOUS_JOURNAL,
        })
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

    fn append(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut options = File::options();
        if offset == 0 {
            options.create(true).mode(0o600);
        }
        let file = options.write(true).open(self.path(JOURNAL))?;
        if file.metadata()?.len() < offset {
            return Err(io::Error::other("the journal of the map was cut by somebody else"));
        }
        file.set_len(offset)?;
        let written = file.write_all_at(bytes, offset).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // The space of the half-written step is worth more than a second error.
            let _ = file.set_len(offset);
            return Err(error);
        }
        if offset == 0 { self.sync_folder() } else { Ok(()) }
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
