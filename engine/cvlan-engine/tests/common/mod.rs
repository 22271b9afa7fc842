//! Engines whose interface is one end of a socket pair and whose other host is the next one over loopback.

#![allow(dead_code, reason = "each test uses its part")]

use cloudvlan_gen::cloudvlan::engine::v1 as pb;
use cloudvlan_gen::cloudvlan::entity::v1 as entity;
use cvlan_engine::{Engine, Failure, Spans};
use cvlan_io::Tun;
use cvlan_testkit::{Tenant, node};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

/// Generous: the machine may be busy with other things.
pub const CEILING: Duration = Duration::from_secs(30);
/// Long enough to see that nothing comes where something would come within a millisecond.
pub const QUIET: Duration = Duration::from_millis(300);

pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + CEILING;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub struct Host {
    pub engine: Arc<Engine>,
    pub folder: TempDir,
    pub number: u8,
    generation: u64,
    interfaces: Arc<Mutex<Receiver<UnixDatagram>>>,
    /// The operating system's end of the interface.
    pub os: Option<UnixDatagram>,
}

impl Host {
    pub fn new(number: u8) -> Self {
        Self::in_folder(number, TempDir::new().unwrap())
    }

    /// An engine to which the host gives no TUN interface.
    pub fn without_tun(number: u8) -> Self {
        let source = |_: &str| Err(cvlan_io::TunError::NotPermitted);
        let folder = TempDir::new().unwrap();
        Self::with_source(number, folder, Box::new(source), channel().1)
    }

    /// An engine on a folder that may hold a state already.
    pub fn in_folder(number: u8, folder: TempDir) -> Self {
        let (made, interfaces) = channel();
        let source = move |_: &str| {
            let (os, engine) = UnixDatagram::pair().map_err(cvlan_io::TunError::Io)?;
            os.set_read_timeout(Some(CEILING)).map_err(cvlan_io::TunError::Io)?;
            made.send(os).ok();
            Tun::from_fd(engine.into()).map_err(cvlan_io::TunError::Io)
        };
        Self::with_source(number, folder, Box::new(source), interfaces)
    }

    fn with_source(
        number: u8,
        folder: TempDir,
        source: cvlan_engine::TunSource,
        interfaces: Receiver<UnixDatagram>,
    ) -> Self {
        let (ended, _) = tokio::sync::mpsc::unbounded_channel();
        let engine = Engine::open(&folder.path().join("engine"), source, Spans::default(), ended).unwrap();
        let mut host = Self {
            engine,
            folder,
            number,
            generation: 0,
            interfaces: Arc::new(Mutex::new(interfaces)),
            os: None,
        };
        host.adopt_interface();
        host
    }

    /// Ends the engine and starts another one on what it kept.
    pub fn restart(self) -> Self {
        self.engine.shut_down();
        drop(self.engine);
        Self::in_folder(self.number, self.folder)
    }

    fn adopt_interface(&mut self) {
        if let Ok(os) = self.interfaces.lock().unwrap().try_recv() {
            self.os = Some(os);
        }
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("engine")
    }

    pub fn record(&self) -> entity::NodeRecord {
        node(self.number, self.engine.public_keys().unwrap().0)
    }

    pub fn settings(&self, tenant: &Tenant) -> pb::Settings {
        pb::Settings {
            membership: Some(tenant.membership(&format!("node_{}", self.number))),
            interface_name: format!("cvt{}", self.number),
            ..pb::Settings::default()
        }
    }

    pub fn apply(
        &mut self,
        settings: Option<pb::Settings>,
        updates: Vec<entity::MapUpdate>,
    ) -> Result<pb::ApplyResponse, Failure> {
        self.generation += 1;
        let answer = self.engine.apply(pb::ApplyRequest {
            generation: self.generation,
            settings,
            updates,
        });
        self.adopt_interface();
        answer
    }

    pub fn hint(&self) -> entity::EndpointHint {
        entity::EndpointHint {
            node_id: format!("node_{}", self.number),
            endpoints: vec![entity::NodeEndpoint {
                address: Ipv4Addr::LOCALHOST.to_string(),
                port: self.engine.status().listen_port,
            }],
        }
    }

    pub fn counter(&self, name: &str) -> u64 {
        *self
            .engine
            .status()
            .counters
            .get(name)
            .unwrap_or_else(|| panic!("no counter {name}"))
    }

    /// The host's network stack gives the interface a packet.
    pub fn send(&self, packet: &[u8]) {
        self.os.as_ref().unwrap().send(packet).unwrap();
    }

    /// The next packet that the interface gives the host.
    pub fn receive(&self) -> Vec<u8> {
        let mut room = vec![0; 65536];
        let length = self
            .os
            .as_ref()
            .unwrap()
            .recv(&mut room)
            .expect("no packet came out of the interface");
        room.truncate(length);
        room
    }

    pub fn receives_nothing(&self) -> bool {
        let os = self.os.as_ref().unwrap();
        os.set_read_timeout(Some(QUIET)).unwrap();
        let nothing = os.recv(&mut [0; 2048]).is_err();
        os.set_read_timeout(Some(CEILING)).unwrap();
        nothing
    }
}

/// Two hosts with one map, whose rules are given.
pub fn pair(rules: &[entity::RuleRecord]) -> (Tenant, Host, Host) {
    let tenant = Tenant::new(1, SystemTime::now() - Duration::from_secs(60));
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    let nodes = [a.record(), b.record()];
    for host in [&mut a, &mut b] {
        let settings = host.settings(&tenant);
        host.apply(Some(settings), Vec::new()).unwrap();
    }
    let hints = vec![a.hint(), b.hint()];
    for host in [&mut a, &mut b] {
        let step = entity::MapUpdate {
            hints: hints.clone(),
            ..tenant.full(1, &nodes, rules)
        };
        host.apply(None, vec![step]).unwrap();
    }
    (tenant, a, b)
}

/// A UDP packet between the IPv4 addresses of two hosts.
pub fn udp(from: u8, to: u8, source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(28 + payload.len()).unwrap();
    let mut packet = vec![
        0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 100, 64, 0, from, 100, 64, 0, to,
    ];
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    let sum = packet
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
        .sum::<u32>();
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(source.to_be_bytes());
    packet.extend(destination.to_be_bytes());
    packet.extend((length - 20).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}
