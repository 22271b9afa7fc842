//! Which addresses a name of the overlay means.

use crate::view::Map;
use cvlan_wire::Node;

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
        let peers = self.peers.values().map(|peer| &*peer.node);
        self.own
            .as_deref()
            .into_iter()
            .chain(peers)
            .find(|node| node.name == label)
    }
}
