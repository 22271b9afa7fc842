//! Engines in network namespaces that a cable joins.
#![allow(dead_code, reason = "each test uses its part")]

use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_testkit::{Tenant, node, rule};
use entity::{PolicyAction, PolicyProtocol};
use pb::engine_service_client::EngineServiceClient;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

pub const CEILING: Duration = Duration::from_secs(30);

/// Where engines answer names.
pub const LISTEN: &str = "127.83.0.1";

pub type Client = EngineServiceClient<Channel>;

pub fn ip(arguments: &str) -> bool {
    Command::new("ip")
        .args(arguments.split(' '))
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Two namespaces joined by a cable; gone when dropped.
pub struct Cable(String);

impl Cable {
    pub fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("cvt{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let cable = Self(prefix.clone());
        let up = ip(&format!("netns add {prefix}-1"))
            && ip(&format!("netns add {prefix}-2"))
            && ip(&format!(
                "link add eth0 netns {prefix}-1 type veth peer name eth0 netns {prefix}-2"
            ))
            && (1..=2).all(|n| {
                ip(&format!("-n {prefix}-{n} addr add 192.0.2.{n}/24 dev eth0"))
                    && ip(&format!("-n {prefix}-{n} link set lo up"))
                    && ip(&format!("-n {prefix}-{n} link set eth0 up"))
            });
        up.then_some(cable)
    }

    pub fn namespace(&self, number: u8) -> String {
        format!("{}-{number}", self.0)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        ip(&format!("netns del {}-1", self.0));
        ip(&format!("netns del {}-2", self.0));
    }
}

pub struct Node {
    pub program: Child,
    pub client: Client,
    pub namespace: String,
    pub number: u8,
    pub state: PathBuf,
}

impl Node {
    pub async fn start(namespace: String, number: u8, folder: &Path) -> Self {
        let state = folder.join(format!("engine{number}"));
        let program = Command::new("ip")
            .args([
                "netns",
                "exec",
                &namespace,
                env!("CARGO_BIN_EXE_cvlan-engine"),
                "run",
                "--state",
            ])
            .arg(&state)
            .spawn()
            .unwrap();
        let mut node = Self {
            program,
            client: reach(&state).await,
            namespace,
            number,
            state,
        };
        // The socket is there before the engine has come up; the first answer comes after.
        node.status().await;
        node
    }

    /// Speaks with whoever serves the socket now.
    pub async fn reach(&mut self) {
        self.client = reach(&self.state).await;
    }

    pub async fn record(&mut self) -> entity::NodeRecord {
        let identity = self
            .client
            .get_identity(pb::GetIdentityRequest {})
            .await
            .unwrap()
            .into_inner();
        node(self.number, identity.wireguard_public_key.try_into().unwrap())
    }

    pub async fn settle(&mut self, tenant: &Tenant) -> entity::EndpointHint {
        let settings = pb::Settings {
            membership: Some(tenant.membership(&format!("node_{}", self.number))),
            interface_name: "cv0".into(),
            dns_listen: Some(entity::NodeEndpoint {
                address: LISTEN.into(),
                port: 53,
            }),
            ..pb::Settings::default()
        };
        let request = pb::ApplyRequest {
            generation: 1,
            settings: Some(settings),
            updates: Vec::new(),
        };
        self.client.apply(request).await.unwrap();
        let status = self.status().await;
        entity::EndpointHint {
            node_id: format!("node_{}", self.number),
            endpoints: vec![entity::NodeEndpoint {
                address: format!("192.0.2.{}", self.number),
                port: status.listen_port,
            }],
        }
    }

    pub async fn status(&mut self) -> pb::EngineStatus {
        self.client
            .get_status(pb::GetStatusRequest::default())
            .await
            .unwrap()
            .into_inner()
            .status
            .unwrap()
    }

    /// What an agent does on the host.
    pub fn configure(&self) {
        let (namespace, number) = (&self.namespace, self.number);
        assert!(ip(&format!("-n {namespace} addr add 100.64.0.{number}/32 dev cv0")));
        assert!(ip(&format!("-n {namespace} link set cv0 mtu 1420 up")));
        assert!(ip(&format!("-n {namespace} route add 100.64.0.0/24 dev cv0")));
    }

    /// Runs one of the programs at the end of this file on the host.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .arg(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "--nocapture", name]);
        command
    }

    pub async fn ping(&mut self, to: u8) -> Option<u64> {
        let request = pb::PingRequest {
            destination: vec![100, 64, 0, to],
            count: 1,
            ..pb::PingRequest::default()
        };
        let mut answers = self.client.ping(request).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap().rtt_us
    }

    pub fn kill(&mut self) {
        self.program.kill().unwrap();
        self.program.wait().unwrap();
    }
}

async fn reach(state: &Path) -> Client {
    let endpoint = Endpoint::try_from(format!("unix://{}/engine.sock", state.display())).unwrap();
    let deadline = Instant::now() + CEILING;
    loop {
        if let Ok(channel) = endpoint.connect().await {
            return EngineServiceClient::new(channel);
        }
        assert!(Instant::now() < deadline, "the control socket never answered");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.program.kill().ok();
        self.program.wait().ok();
    }
}

/// Two engines that know one another and may say anything to one another; `None` where there is no privilege.
pub async fn pair() -> Option<(Cable, TempDir, Node, Node)> {
    pair_by(&[rule(1, PolicyAction::Allow, PolicyProtocol::Any)]).await
}

/// Two engines that know one another, with these rules.
pub async fn pair_by(rules: &[entity::RuleRecord]) -> Option<(Cable, TempDir, Node, Node)> {
    let cable = Cable::new()?;
    let folder = TempDir::new().unwrap();
    let tenant = Tenant::new(1, SystemTime::now() - Duration::from_secs(60));
    let mut a = Node::start(cable.namespace(1), 1, folder.path()).await;
    let mut b = Node::start(cable.namespace(2), 2, folder.path()).await;
    let nodes = [a.record().await, b.record().await];
    let hints = vec![a.settle(&tenant).await, b.settle(&tenant).await];
    for node in [&mut a, &mut b] {
        let step = entity::MapUpdate {
            hints: hints.clone(),
            dns: tenant.sign_dns(&cvlan_testkit::dns(1, &[])),
            ..tenant.full(1, &nodes, rules)
        };
        let request = pb::ApplyRequest {
            generation: 2,
            settings: None,
            updates: vec![step],
        };
        node.client.apply(request).await.unwrap();
        node.configure();
    }
    Some((cable, folder, a, b))
}
