//! What happens, for whoever watches.

use cloudvlan_gen::cloudvlan::engine::v1::EngineEvent;
use std::time::SystemTime;
use tokio::sync::broadcast;

/// Events that a slow watcher may be behind before it is cut.
const KEPT: usize = 1024;

/// Hands events to all watchers.
#[derive(Clone, Debug)]
pub struct Events(broadcast::Sender<EngineEvent>);

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::channel(KEPT).0)
    }
}

impl Events {
    /// Tells all watchers; that nobody watches is no error. `node_id` is empty when the event is about no peer.
    pub fn tell(&self, name: &str, node_id: &str, detail: impl Into<String>) {
        let _ = self.0.send(EngineEvent {
            occurred_at: Some(SystemTime::now().into()),
            name: name.to_owned(),
            node_id: node_id.to_owned(),
            detail: detail.into(),
        });
    }

    /// Everything from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<EngineEvent> {
        self.0.subscribe()
    }
}
