//! Small numbers for peers, so that the packet path compares no strings.

use cvlan_wire::PeerHandle;
use rpds::HashTrieMapSync;

use crate::error::{MapError, Reason};

/// Which handle a peer has. A handle is never given out twice in one process. A clone shares what both have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handles {
    by_id: HashTrieMapSync<String, PeerHandle>,
    next: u32,
}

impl Handles {
    /// Gives each id a handle that has none.
    pub(crate) fn assign<'a>(&mut self, ids: impl Iterator<Item = &'a String>) -> Result<(), MapError> {
        for id in ids {
            if self.by_id.contains_key(id) {
                continue;
            }
            let handle = PeerHandle(self.next);
            self.next = self.next.checked_add(1).ok_or_else(|| {
                MapError::new(
                    Reason::TooMany,
                    "nodes",
                    "all peer handles of this process are used; restart it",
                )
            })?;
            self.by_id.insert_mut(id.clone(), handle);
        }
        Ok(())
    }

    /// Takes the handle of a peer that is gone.
    pub(crate) fn retire(&mut self, id: &str) {
        self.by_id.remove_mut(id);
    }

    pub(crate) fn get(&self, id: &str) -> Option<PeerHandle> {
        self.by_id.get(id).copied()
    }
}
