//! The engine as its control socket sees it: what is wanted, what is in force, and how one becomes the other.

use crate::apply::{self, Step};
use crate::dns::Dns;
use crate::events::Events;
use crate::explain;
use crate::failure::Failure;
use crate::forward::{Forwarder, Injector, Shared};
use crate::handover::HandoverError;
use crate::identity::Identity;
use crate::interface::Interface;
use crate::keys::{Keys, Proofs};
use crate::settings::Settings;
use crate::shown::Shown;
use crate::spans::Spans;
use crate::state_dir::StateDir;
use crate::status::View;
use crate::userspace::Userspace;
use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use cvlan_io::{Tun, TunError};
use rand_core::{OsRng, RngCore};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};
use tokio::sync::{mpsc, watch};

/// Makes the interface of a name.
pub type TunSource = Box<dyn Fn(&str) -> Result<Tun, TunError> + Send + Sync>;

/// Version of what engine and daemon can do together; grows by one with each change that the other side must know of.
pub const CAPABILITY_VERSION: u32 = 1;

/// One engine.
pub struct Engine {
    pub(crate) state: StateDir,
    pub(crate) tun_source: TunSource,
    pub(crate) events: Events,
    pub(crate) spans: Spans,
    pub(crate) dns: Dns,
    instance_id: String,
    core: Mutex<Core>,
    ended: mpsc::UnboundedSender<String>,
    stopping: watch::Sender<bool>,
    /// Set anew by each declaration.
    declared: watch::Sender<()>,
    takeover: OnceLock<pb::Takeover>,
}

/// What the control socket changes, one caller at a time.
#[derive(Default)]
pub(crate) struct Core {
    pub identity: Option<Identity>,
    pub settings: Option<Settings>,
    pub generation: u64,
    pub forwarder: Option<Forwarder>,
    /// While the interface is the engine's own stack.
    pub userspace: Option<Userspace>,
    /// Another process goes on: nothing is declared here any more.
    pub handed_over: bool,
}

impl Engine {
    /// Opens the state directory and comes up from what it holds: with keys, settings and a map, packets flow when this
    /// returns. `spans` is what watchers get of them. `ended` is told when the data path breaks; the process should end then.
    ///
    /// # Errors
    /// When the folder, the keys or the settings must not be used. That the interface or the port cannot be had is told
    /// as an event and in the log: the daemon declares its settings again and hears it too.
    pub fn open(
        path: &Path,
        tun_source: TunSource,
        spans: Spans,
        ended: mpsc::UnboundedSender<String>,
    ) -> Result<Arc<Self>, Failure> {
        let engine = Self::new(path, tun_source, spans, ended)?;
        engine.come_up()?;
        Ok(engine)
    }

    /// One that does nothing yet: for [`Engine::succeed`].
    ///
    /// # Errors
    /// When the folder must not be used.
    pub fn new(
        path: &Path,
        tun_source: TunSource,
        spans: Spans,
        ended: mpsc::UnboundedSender<String>,
    ) -> Result<Arc<Self>, Failure> {
        let state = StateDir::open(path).map_err(Failure::from)?;
        let engine = Arc::new(Self {
            state,
            tun_source,
            events: Events::default(),
            spans,
            dns: Dns::default(),
            instance_id: random_hex(),
            core: Mutex::default(),
            ended,
            stopping: watch::Sender::new(false),
            declared: watch::Sender::new(()),
            takeover: OnceLock::new(),
        });
        Ok(engine)
    }

    /// Reads what the folder holds, as far as it needs nothing of the machine.
    pub(crate) fn load(&self, core: &mut Core) -> Result<(), HandoverError> {
        let keys = Keys::load(&self.state).map_err(|error| HandoverError::State(error.to_string()))?;
        let keys = keys.ok_or_else(|| HandoverError::State("the folder holds no keys".to_owned()))?;
        let settings = Settings::load(&self.state).map_err(|error| HandoverError::State(error.to_string()))?;
        let settings = settings.ok_or_else(|| HandoverError::State("the folder holds no settings".to_owned()))?;
        let identity = Identity::open(&self.state, keys, self.events.clone());
        core.identity = Some(identity.map_err(|failure| HandoverError::State(failure.to_string()))?);
        core.settings = Some(settings);
        apply::put_in_force(core, &Step::default());
        Ok(())
    }

    /// Says how this process came to its sessions; once.
    pub fn came_by(&self, takeover: pb::Takeover) {
        // There is one way into a process.
        let _ = self.takeover.set(takeover);
    }

    fn come_up(&self) -> Result<(), Failure> {
        let Some(keys) = Keys::load(&self.state)? else {
            return Ok(());
        };
        let mut core = self.core();
        core.identity = Some(Identity::open(&self.state, keys, self.events.clone())?);
        let settings = match Settings::load(&self.state) {
            Ok(Some(settings)) => settings,
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::error!(%error, "settings are not used");
                return Ok(());
            }
        };
        if let Err(failure) = apply::bring_up(self, &mut core, settings) {
            tracing::error!(error = %failure, "not forwarding");
            self.events.tell("start_failed", "", failure.to_string());
        }
        Ok(())
    }

    /// New with each start of the process.
    #[must_use]
    pub fn instance_id(&self) -> &str {
        &self.instance_id
    }

    /// The public keys, WireGuard's and the control key, made on the first call.
    ///
    /// # Errors
    /// When keys cannot be kept.
    pub fn public_keys(&self) -> Result<([u8; 32], [u8; 32]), Failure> {
        let mut core = self.core();
        let keys = &self.identity(&mut core)?.keys;
        Ok((keys.wireguard_public(), keys.control_public()))
    }

    /// Proves possession of both keys.
    ///
    /// # Errors
    /// When the server's key is of low order or keys cannot be kept.
    pub fn prove(&self, server: [u8; 32], challenge: &[u8], transcript: &[u8; 32]) -> Result<Proofs, Failure> {
        let mut core = self.core();
        let keys = &self.identity(&mut core)?.keys;
        keys.prove(server, challenge, transcript).map_err(|error| {
            Failure::field(
                "server_public_key",
                error.to_string(),
                "begin the join again and check the controller",
            )
        })
    }

    /// Makes the declared state real, all of it or nothing.
    ///
    /// # Errors
    /// Names what is wrong; what was in force stays.
    pub fn apply(&self, request: pb::ApplyRequest) -> Result<pb::ApplyResponse, Failure> {
        let applied = apply::apply(self, &mut self.core(), request);
        // Also what was refused may have changed something: a port that is bound, a generation.
        self.declared.send_replace(());
        applied
    }

    /// Everything there is to know. However many peers there are, nobody waits meanwhile.
    #[must_use]
    pub fn status(&self) -> pb::EngineStatus {
        self.complete(self.view().whole(Instant::now(), SystemTime::now()))
    }

    /// The status without peers and rules, and a digest of those.
    #[must_use]
    pub fn brief_status(&self) -> (pb::EngineStatus, u64) {
        let view = self.view();
        (self.complete(view.brief()), view.fingerprint(Instant::now()))
    }

    fn view(&self) -> View {
        View::of(&self.instance_id, &self.core(), SystemTime::now())
    }

    fn complete(&self, mut status: pb::EngineStatus) -> pb::EngineStatus {
        status.counters.extend(self.dns.counters());
        status.counters.insert("spans_dropped".to_owned(), self.spans.dropped());
        status.dns = self.dns.status();
        status.takeover = self.takeover.get().cloned();
        status
    }

    /// Changes with each declaration, once it is in force.
    #[must_use]
    pub fn declared(&self) -> watch::Receiver<()> {
        self.declared.subscribe()
    }

    /// What would happen to a packet now.
    ///
    /// # Errors
    /// When the request is not well-formed, or there are no keys yet.
    pub fn explain(&self, request: &pb::ExplainRequest) -> Result<pb::ExplainResponse, Failure> {
        explain::explain(self.identity(&mut self.core())?, request, SystemTime::now())
    }

    /// Events from now on.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// What the data path sees, and the way in for packets of our own; `None` while nothing is forwarded.
    #[must_use]
    pub fn data_path(&self) -> Option<(Arc<Shared>, Injector)> {
        let core = self.core();
        Some((
            core.identity.as_ref()?.shared.clone(),
            core.forwarder.as_ref()?.injector(),
        ))
    }

    /// The interface that there is to show; `None` while there is none of the host's.
    #[must_use]
    pub fn shown(&self) -> Option<Shown> {
        let core = self.core();
        let forwarder = core.forwarder.as_ref()?;
        match &**forwarder.interface() {
            Interface::Stack(_) => None,
            Interface::Tun(_) => Some(Shown {
                name: core.settings.as_ref()?.interface_name.clone(),
                port: forwarder.udp().port(),
                shared: core.identity.as_ref()?.shared.clone(),
            }),
        }
    }

    /// Looks at the clock: a map may have become stale, a port free.
    pub fn tick(&self) {
        let core = self.core();
        apply::refresh_admission(&core, SystemTime::now());
        if !*self.stopping.borrow() {
            self.dns.follow(&core, &Step::default(), || self.on_failure());
        }
    }

    /// Becomes true when the engine shuts down.
    #[must_use]
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    pub(crate) fn end_streams(&self) {
        self.stopping.send_replace(true);
    }

    /// Stops forwarding and ends the streams; the interface is gone when this returns.
    pub fn shut_down(&self) {
        self.end_streams();
        let (forwarder, userspace) = {
            let mut core = self.core();
            (core.forwarder.take(), core.userspace.take())
        };
        self.dns.stop();
        if let Some(userspace) = userspace {
            userspace.stop();
        }
        if let Some(forwarder) = forwarder {
            forwarder.stop();
        }
    }

    pub(crate) fn on_failure(&self) -> Box<dyn Fn(String) + Send + Sync> {
        let ended = self.ended.clone();
        Box::new(move |why| {
            // Nobody listens when the process is ending already.
            let _ = ended.send(why);
        })
    }

    pub(crate) fn identity<'a>(&self, core: &'a mut Core) -> Result<&'a mut Identity, Failure> {
        if core.handed_over {
            let remedy = "ask again: the process that goes on answers";
            return Err(Failure::host("HANDED_OVER", "another engine took over", remedy));
        }
        match core.identity {
            Some(ref mut identity) => Ok(identity),
            ref mut none => {
                let keys = Keys::load_or_make(&self.state)?;
                Ok(none.insert(Identity::open(&self.state, keys, self.events.clone())?))
            }
        }
    }

    /// Each change of the core replaces one part whole, so what a panic left is still something that was wanted.
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random_hex() -> String {
    let mut bytes = [0; 16];
    OsRng.fill_bytes(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
