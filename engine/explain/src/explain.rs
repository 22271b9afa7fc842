//! The way of one packet through this node: map, route, filter, path.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use cloudvlan_gen::cloudvlan::engine::v1 as engine;
use cvlan_filter::{Admission, Basis, Compiled, Direction, Flows};
use cvlan_map::{Freshness, Map, Peers, StalePolicy};
use cvlan_route::{NextHop, PeerRoute, Table};
use cvlan_wire::{Meta, Node, PeerHandle, RuleId};

use crate::QuestionError;
use crate::packet::meta;

/// What the engine goes by at this moment.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The records in force.
    pub records: Option<Records<'a>>,
    /// Whether it still holds.
    pub freshness: Freshness,
    /// Routes of the membership's table.
    pub table: &'a Table,
    /// The policy in force.
    pub policy: &'a Compiled,
    /// Flows that are there.
    pub flows: &'a Flows,
    /// The time that flows are judged by.
    pub now: Instant,
}

/// What a map holds, wherever it comes from.
#[derive(Clone, Copy)]
pub struct Records<'a> {
    /// This node; None when the map does not have it.
    pub own: Option<&'a Node>,
    /// Everybody else.
    pub peers: &'a Peers,
    /// How many rules there are.
    pub rules: usize,
    /// Where the map stands.
    pub epoch: u64,
    /// Where the map stands.
    pub revision: u64,
}

impl<'a> From<&'a Map> for Records<'a> {
    fn from(map: &'a Map) -> Self {
        Self {
            own: map.own.as_deref(),
            peers: &map.peers,
            rules: map.rules.size(),
            epoch: map.head.epoch,
            revision: map.head.revision,
        }
    }
}

/// How far the tunnel to a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathState {
    /// A session stands and this endpoint answered.
    Established(SocketAddr),
    /// So many endpoints are known and none has answered; the next packet starts a handshake.
    Untried(usize),
    /// No endpoint is known.
    NoEndpoint,
}

/// Follows a packet; the first hop that is not ok is the last. `path` says how far the tunnel to a peer is.
///
/// # Errors
/// [`QuestionError`] when the request is not well-formed.
pub fn explain(
    view: &View<'_>,
    request: &engine::ExplainRequest,
    path: impl Fn(PeerHandle) -> PathState,
) -> Result<engine::ExplainResponse, QuestionError> {
    let packet = request
        .packet
        .as_ref()
        .ok_or_else(|| QuestionError::new("packet", "is not set"))?;
    let meta = meta("packet", packet)?;
    let direction = match request.direction() {
        engine::Direction::Outbound => Direction::Outbound,
        engine::Direction::Inbound => Direction::Inbound,
        engine::Direction::Unspecified => {
            return Err(QuestionError::new("direction", "is neither outbound nor inbound"));
        }
    };
    Ok(follow(view, direction, &meta, path))
}

/// Follows a packet that is well-formed.
pub(crate) fn follow(
    view: &View<'_>,
    direction: Direction,
    meta: &Meta,
    path: impl Fn(PeerHandle) -> PathState,
) -> engine::ExplainResponse {
    let mut hops = Vec::new();
    let forwarded = pass(view, direction, meta, path, &mut hops);
    engine::ExplainResponse { forwarded, hops }
}

/// Adds the hops in turn; false as soon as one is not ok.
fn pass(
    view: &View<'_>,
    direction: Direction,
    meta: &Meta,
    path: impl Fn(PeerHandle) -> PathState,
    hops: &mut Vec<engine::Hop>,
) -> bool {
    let mut reached = |hop: engine::Hop| {
        let ok = hop.ok;
        hops.push(hop);
        ok
    };
    let Some(records) = view.records else {
        reached(hop(
            "map",
            Err((
                "this node has no map",
                "check that the agent runs and reaches the controller",
            )),
        ));
        return false;
    };
    if !reached(map_hop(&records, view.freshness)) {
        return false;
    }
    let (route, found) = route_hop(view.table, &records, direction, meta);
    if !reached(route) {
        return false;
    }
    let Some(peer) = found else { return false };
    reached(filter_hop(view, direction, peer.node, meta))
        && reached(path_hop(&records, direction, peer.carrier, path(peer.carrier)))
}

fn map_hop(records: &Records<'_>, freshness: Freshness) -> engine::Hop {
    let Some(own) = records.own else {
        let remedy = "check with `cvlan node list` whether this node was revoked";
        return hop("map", Err(("the map does not have this node", remedy)));
    };
    let stands = format!(
        "{} at epoch {} revision {}, {} peers, {} rules",
        own.name,
        records.epoch,
        records.revision,
        records.peers.size(),
        records.rules
    );
    const REMEDY: &str = "check that the agent reaches the controller";
    match freshness {
        Freshness::Fresh => hop("map", Ok(stands)),
        Freshness::Stale(StalePolicy::Keep) => hop("map", Ok(format!("{stands}; past its time, and kept"))),
        Freshness::Stale(StalePolicy::NoNewFlows) => hop(
            "map",
            Ok(format!("{stands}; past its time, so that no new flow may start")),
        ),
        Freshness::Stale(StalePolicy::Stop) => hop("map", Err(("the map is past its time", REMEDY))),
        Freshness::NoMap => hop("map", Err(("this node has no map", REMEDY))),
    }
}

fn route_hop(
    table: &Table,
    records: &Records<'_>,
    direction: Direction,
    meta: &Meta,
) -> (engine::Hop, Option<PeerRoute>) {
    let (own, far, own_name) = match direction {
        Direction::Outbound => (meta.source, meta.destination, "source"),
        Direction::Inbound => (meta.destination, meta.source, "destination"),
    };
    let refuse = |detail: String, remedy: &str| (hop("route", Err((&detail, remedy))), None);
    if !table.is_local(own) {
        let detail = format!("{own_name} {own} is neither this node's nor behind it");
        return refuse(
            detail,
            "use an overlay address of this node, or a prefix that it advertises",
        );
    }
    match table.lookup(far) {
        None => refuse(
            format!("no peer in the map has {far}"),
            "check that the peer is active and that a rule concerns both of you: a node sees nobody else",
        ),
        Some(NextHop::Local) => refuse(format!("{far} is this node's own"), "name an address of a peer"),
        Some(NextHop::Peer(route)) => {
            let mut found = hop("route", Ok(describe_route(records, far, route)));
            found.node_id = node_of(records, route.node)
                .map(|node| node.node_id.clone())
                .unwrap_or_default();
            (found, Some(route))
        }
    }
}

fn describe_route(records: &Records<'_>, address: IpAddr, route: PeerRoute) -> String {
    let name = |handle| node_of(records, handle).map_or("an unknown peer", |node| node.name.as_str());
    let own = node_of(records, route.node).is_some_and(|node| node.addresses.contains(&address));
    let mut text = format!("{address} is {}{}", if own { "" } else { "behind " }, name(route.node));
    if route.carrier != route.node {
        text.push_str(", carried by ");
        text.push_str(name(route.carrier));
    }
    text
}

fn filter_hop(view: &View<'_>, direction: Direction, peer: PeerHandle, meta: &Meta) -> engine::Hop {
    let admission = match view.freshness {
        Freshness::Fresh | Freshness::Stale(StalePolicy::Keep) => Admission::New,
        Freshness::Stale(StalePolicy::NoNewFlows | StalePolicy::Stop) | Freshness::NoMap => Admission::EstablishedOnly,
    };
    let judgement = view
        .flows
        .preview(view.policy, direction, peer, meta, view.now, admission);
    let rule_name = |id: &RuleId| {
        view.policy
            .rule_by_id(id)
            .map(|rule| rule.name.clone())
            .unwrap_or_default()
    };
    let (rule, detail, remedy) = match judgement.basis {
        Basis::Flow(rule) => (
            Some(rule),
            format!("belongs to a flow that rule {} allowed", rule_name(&rule)),
            "",
        ),
        Basis::Rule(Some(rule)) if judgement.allowed => {
            (Some(rule), format!("rule {} allows it", rule_name(&rule)), "")
        }
        Basis::Rule(Some(rule)) => {
            let remedy = "a deny beats every allow: narrow that rule, or leave this traffic out";
            (Some(rule), format!("rule {} denies it", rule_name(&rule)), remedy)
        }
        Basis::Rule(None) => (
            None,
            "no rule allows it".to_owned(),
            "add a rule that allows it with `cvlan policy apply`",
        ),
        Basis::NoFlow => (
            None,
            "answers nothing that was sent".to_owned(),
            "start the conversation from the other end",
        ),
        Basis::Stale => {
            let remedy = "check that the agent reaches the controller";
            (
                None,
                "would start a flow, and the map is past its time".to_owned(),
                remedy,
            )
        }
    };
    engine::Hop {
        name: "filter".to_owned(),
        ok: judgement.allowed,
        detail,
        remedy: remedy.to_owned(),
        rule_name: rule.as_ref().map(rule_name).unwrap_or_default(),
        rule_id: rule.map(|id| id.to_vec()).unwrap_or_default(),
        ..engine::Hop::default()
    }
}

fn path_hop(records: &Records<'_>, direction: Direction, carrier: PeerHandle, path: PathState) -> engine::Hop {
    let mut found = match path {
        PathState::Established(endpoint) => hop("path", Ok(format!("session established with {endpoint}"))),
        PathState::Untried(count) => hop(
            "path",
            Ok(format!("no session yet; {count} endpoints to try with the next packet")),
        ),
        // Who sends opens the tunnel, and is known from then on.
        PathState::NoEndpoint if direction == Direction::Inbound => {
            hop("path", Ok("no session yet; the peer opens it".to_owned()))
        }
        PathState::NoEndpoint => hop(
            "path",
            Err((
                "no endpoint of the peer is known",
                "check that the peer's agent runs and reports its endpoints",
            )),
        ),
    };
    found.node_id = node_of(records, carrier)
        .map(|node| node.node_id.clone())
        .unwrap_or_default();
    found
}

fn node_of<'a>(records: &Records<'a>, peer: PeerHandle) -> Option<&'a Node> {
    records.peers.get(&peer).map(|peer| &*peer.node)
}

fn hop(name: &str, found: Result<String, (&str, &str)>) -> engine::Hop {
    let (ok, detail, remedy) = match found {
        Ok(detail) => (true, detail, String::new()),
        Err((detail, remedy)) => (false, detail.to_owned(), remedy.to_owned()),
    };
    engine::Hop {
        name: name.to_owned(),
        ok,
        detail,
        remedy,
        ..engine::Hop::default()
    }
}
