//! Which addresses a name of the overlay means.

use crate::view::Map;
use cvlan_wire::{Node, PeerHandle};
use rpds::RedBlackTreeSetSync;
use std::sync::Arc;

impl Map {
    /// The node that a name means: `<node>`, or `<node>.<domain>` when the map says a domain; in any case of letters, with
    /// or without a dot at the end. The own node is one of them.
    #[must_use]
    pub fn node_named(&self, name: &str) -> Option<&Node> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let domain = self.dns.as_ref().map(|dns| dns.domain.as_str());
        let label = domain
            .and_then(|domain| name.strip_suffix(domain)?.strip_suffix('.'))
            .unwrap_or(&name);
        let own = self.own.as_deref().filter(|own| own.name == label);
        own.or_else(|| {
            let handle = self.names.first(label)?;
            self.peers.get(&handle).map(|peer| &*peer.node)
        })
    }
}

/// Peers by name; nothing says that two do not have the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(RedBlackTreeSetSync<(Arc<str>, PeerHandle)>);

impl Names {
    /// Follows a peer from one record to the next.
    pub fn follow(&mut self, handle: PeerHandle, before: Option<&Node>, after: Option<&Node>) {
        if before.map(|node| &node.name) == after.map(|node| &node.name) {
            return;
        }
        if let Some(before) = before {
            self.0.remove_mut(&(before.name.as_str().into(), handle));
        }
        if let Some(after) = after {
            self.0.insert_mut((after.name.as_str().into(), handle));
        }
    }

    /// Of those of a name the one with the least handle.
    fn first(&self, name: &str) -> Option<PeerHandle> {
        let (found, handle) = self.0.range((name.into(), PeerHandle(0))..).next()?;
        (**found == *name).then_some(*handle)
    }
}
