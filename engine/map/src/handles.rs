//! Small numbers for peers, so that the packet path compares no strings.

use std::collections::BTreeMap;

use cvlan_wire::PeerHandle;

use crate::error::{MapError, Reason};

/// Which handle a peer has. A handle is never given out twice in one process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handles {
    by_id: BTreeMap<String, PeerHandle>,
    next: u32,
}

impl Handles {
    /// Handles for exactly these ids: those that had one keep it.
    pub(crate) fn assign<'a>(&self, ids: impl Iterator<Item = &'a String>) -> Result<Self, MapError> {
        let mut next = self.next;
        let mut by_id = BTreeMap::new();
        for id in ids {
            let handle = match self.by_id.get(id) {
                Some(handle) => *handle,
                None => {
                    let handle = PeerHandle(next);
                    next = next.checked_add(1).ok_or_else(|| {
                        MapError::new(
                            Reason::TooMany,
                            "nodes",
                            "all peer handles of this process are used; restart it",
                        )
                    })?;
                    handle
                }
            };
            by_id.insert(id.clone(), handle);
        }
        Ok(Self { by_id, next })
    }

    pub(crate) fn get(&self, id: &str) -> Option<PeerHandle> {
        self.by_id.get(id).copied()
    }
}
