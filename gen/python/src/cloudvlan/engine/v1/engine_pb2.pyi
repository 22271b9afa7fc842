import datetime

from cloudvlan.entity.v1 import netmap_pb2 as _netmap_pb2
from cloudvlan.entity.v1 import node_pb2 as _node_pb2
from cloudvlan.entity.v1 import policy_pb2 as _policy_pb2
from cloudvlan.options.v1 import options_pb2 as _options_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InterfaceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INTERFACE_KIND_UNSPECIFIED: _ClassVar[InterfaceKind]
    INTERFACE_KIND_TUN: _ClassVar[InterfaceKind]
    INTERFACE_KIND_USERSPACE: _ClassVar[InterfaceKind]
    INTERFACE_KIND_AUTO: _ClassVar[InterfaceKind]

class ForwardDirection(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FORWARD_DIRECTION_UNSPECIFIED: _ClassVar[ForwardDirection]
    FORWARD_DIRECTION_INTO_OVERLAY: _ClassVar[ForwardDirection]
    FORWARD_DIRECTION_FROM_OVERLAY: _ClassVar[ForwardDirection]

class ForwardProtocol(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FORWARD_PROTOCOL_UNSPECIFIED: _ClassVar[ForwardProtocol]
    FORWARD_PROTOCOL_TCP: _ClassVar[ForwardProtocol]
    FORWARD_PROTOCOL_UDP: _ClassVar[ForwardProtocol]

class PathMtuState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PATH_MTU_STATE_UNSPECIFIED: _ClassVar[PathMtuState]
    PATH_MTU_STATE_ASSUMED: _ClassVar[PathMtuState]
    PATH_MTU_STATE_SEARCHING: _ClassVar[PathMtuState]
    PATH_MTU_STATE_CONFIRMED: _ClassVar[PathMtuState]
    PATH_MTU_STATE_TOO_NARROW: _ClassVar[PathMtuState]
    PATH_MTU_STATE_UNPROBED: _ClassVar[PathMtuState]

class Direction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIRECTION_UNSPECIFIED: _ClassVar[Direction]
    DIRECTION_OUTBOUND: _ClassVar[Direction]
    DIRECTION_INBOUND: _ClassVar[Direction]
INTERFACE_KIND_UNSPECIFIED: InterfaceKind
INTERFACE_KIND_TUN: InterfaceKind
INTERFACE_KIND_USERSPACE: InterfaceKind
INTERFACE_KIND_AUTO: InterfaceKind
FORWARD_DIRECTION_UNSPECIFIED: ForwardDirection
FORWARD_DIRECTION_INTO_OVERLAY: ForwardDirection
FORWARD_DIRECTION_FROM_OVERLAY: ForwardDirection
FORWARD_PROTOCOL_UNSPECIFIED: ForwardProtocol
FORWARD_PROTOCOL_TCP: ForwardProtocol
FORWARD_PROTOCOL_UDP: ForwardProtocol
PATH_MTU_STATE_UNSPECIFIED: PathMtuState
PATH_MTU_STATE_ASSUMED: PathMtuState
PATH_MTU_STATE_SEARCHING: PathMtuState
PATH_MTU_STATE_CONFIRMED: PathMtuState
PATH_MTU_STATE_TOO_NARROW: PathMtuState
PATH_MTU_STATE_UNPROBED: PathMtuState
DIRECTION_UNSPECIFIED: Direction
DIRECTION_OUTBOUND: Direction
DIRECTION_INBOUND: Direction

class GetIdentityRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetIdentityResponse(_message.Message):
    __slots__ = ("instance_id", "wireguard_public_key", "control_public_key", "version", "capability_version", "build")
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    WIREGUARD_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTROL_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_VERSION_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    wireguard_public_key: bytes
    control_public_key: bytes
    version: str
    capability_version: int
    build: str
    def __init__(self, instance_id: _Optional[str] = ..., wireguard_public_key: _Optional[bytes] = ..., control_public_key: _Optional[bytes] = ..., version: _Optional[str] = ..., capability_version: _Optional[int] = ..., build: _Optional[str] = ...) -> None: ...

class ProveRequest(_message.Message):
    __slots__ = ("server_public_key", "challenge", "transcript")
    SERVER_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    server_public_key: bytes
    challenge: bytes
    transcript: bytes
    def __init__(self, server_public_key: _Optional[bytes] = ..., challenge: _Optional[bytes] = ..., transcript: _Optional[bytes] = ...) -> None: ...

class ProveResponse(_message.Message):
    __slots__ = ("wireguard_proof", "control_proof")
    WIREGUARD_PROOF_FIELD_NUMBER: _ClassVar[int]
    CONTROL_PROOF_FIELD_NUMBER: _ClassVar[int]
    wireguard_proof: bytes
    control_proof: bytes
    def __init__(self, wireguard_proof: _Optional[bytes] = ..., control_proof: _Optional[bytes] = ...) -> None: ...

class ApplyRequest(_message.Message):
    __slots__ = ("generation", "settings", "updates")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    generation: int
    settings: Settings
    updates: _containers.RepeatedCompositeFieldContainer[_netmap_pb2.MapUpdate]
    def __init__(self, generation: _Optional[int] = ..., settings: _Optional[_Union[Settings, _Mapping]] = ..., updates: _Optional[_Iterable[_Union[_netmap_pb2.MapUpdate, _Mapping]]] = ...) -> None: ...

class ApplyResponse(_message.Message):
    __slots__ = ("generation", "map")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    generation: int
    map: MapState
    def __init__(self, generation: _Optional[int] = ..., map: _Optional[_Union[MapState, _Mapping]] = ...) -> None: ...

class Settings(_message.Message):
    __slots__ = ("membership", "interface_name", "listen_port", "mtu", "table_id", "interface_kind", "dns_listen", "dns_fallback", "proxy_listen", "forwards")
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_NAME_FIELD_NUMBER: _ClassVar[int]
    LISTEN_PORT_FIELD_NUMBER: _ClassVar[int]
    MTU_FIELD_NUMBER: _ClassVar[int]
    TABLE_ID_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_KIND_FIELD_NUMBER: _ClassVar[int]
    DNS_LISTEN_FIELD_NUMBER: _ClassVar[int]
    DNS_FALLBACK_FIELD_NUMBER: _ClassVar[int]
    PROXY_LISTEN_FIELD_NUMBER: _ClassVar[int]
    FORWARDS_FIELD_NUMBER: _ClassVar[int]
    membership: Membership
    interface_name: str
    listen_port: int
    mtu: int
    table_id: int
    interface_kind: InterfaceKind
    dns_listen: _node_pb2.NodeEndpoint
    dns_fallback: _containers.RepeatedCompositeFieldContainer[_netmap_pb2.DnsUpstream]
    proxy_listen: _node_pb2.NodeEndpoint
    forwards: _containers.RepeatedCompositeFieldContainer[PortForward]
    def __init__(self, membership: _Optional[_Union[Membership, _Mapping]] = ..., interface_name: _Optional[str] = ..., listen_port: _Optional[int] = ..., mtu: _Optional[int] = ..., table_id: _Optional[int] = ..., interface_kind: _Optional[_Union[InterfaceKind, str]] = ..., dns_listen: _Optional[_Union[_node_pb2.NodeEndpoint, _Mapping]] = ..., dns_fallback: _Optional[_Iterable[_Union[_netmap_pb2.DnsUpstream, _Mapping]]] = ..., proxy_listen: _Optional[_Union[_node_pb2.NodeEndpoint, _Mapping]] = ..., forwards: _Optional[_Iterable[_Union[PortForward, _Mapping]]] = ...) -> None: ...

class PortForward(_message.Message):
    __slots__ = ("direction", "protocol", "listen", "target")
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    LISTEN_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    direction: ForwardDirection
    protocol: ForwardProtocol
    listen: PortForwardEnd
    target: PortForwardEnd
    def __init__(self, direction: _Optional[_Union[ForwardDirection, str]] = ..., protocol: _Optional[_Union[ForwardProtocol, str]] = ..., listen: _Optional[_Union[PortForwardEnd, _Mapping]] = ..., target: _Optional[_Union[PortForwardEnd, _Mapping]] = ...) -> None: ...

class PortForwardEnd(_message.Message):
    __slots__ = ("host", "port")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    host: str
    port: int
    def __init__(self, host: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class Membership(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "node_id", "root_public_key")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ROOT_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    node_id: str
    root_public_key: bytes
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., node_id: _Optional[str] = ..., root_public_key: _Optional[bytes] = ...) -> None: ...

class MapState(_message.Message):
    __slots__ = ("epoch", "revision", "keyset_version", "head_issued_at", "head_expires_at", "stale", "damage")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    KEYSET_VERSION_FIELD_NUMBER: _ClassVar[int]
    HEAD_ISSUED_AT_FIELD_NUMBER: _ClassVar[int]
    HEAD_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    DAMAGE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    revision: int
    keyset_version: int
    head_issued_at: _timestamp_pb2.Timestamp
    head_expires_at: _timestamp_pb2.Timestamp
    stale: bool
    damage: str
    def __init__(self, epoch: _Optional[int] = ..., revision: _Optional[int] = ..., keyset_version: _Optional[int] = ..., head_issued_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., head_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stale: _Optional[bool] = ..., damage: _Optional[str] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("without_peers",)
    WITHOUT_PEERS_FIELD_NUMBER: _ClassVar[int]
    without_peers: bool
    def __init__(self, without_peers: _Optional[bool] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("opened", "status", "event", "span")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    opened: Opened
    status: EngineStatus
    event: EngineEvent
    span: Span
    def __init__(self, opened: _Optional[_Union[Opened, _Mapping]] = ..., status: _Optional[_Union[EngineStatus, _Mapping]] = ..., event: _Optional[_Union[EngineEvent, _Mapping]] = ..., span: _Optional[_Union[Span, _Mapping]] = ...) -> None: ...

class Span(_message.Message):
    __slots__ = ("trace_id", "span_id", "parent_span_id", "name", "started_at", "ended_at", "error", "attributes")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    name: str
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    error: str
    attributes: _containers.ScalarMap[str, str]
    def __init__(self, trace_id: _Optional[bytes] = ..., span_id: _Optional[bytes] = ..., parent_span_id: _Optional[bytes] = ..., name: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[str] = ..., attributes: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Opened(_message.Message):
    __slots__ = ("instance_id", "generation")
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    generation: int
    def __init__(self, instance_id: _Optional[str] = ..., generation: _Optional[int] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ("without_peers",)
    WITHOUT_PEERS_FIELD_NUMBER: _ClassVar[int]
    without_peers: bool
    def __init__(self, without_peers: _Optional[bool] = ...) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: EngineStatus
    def __init__(self, status: _Optional[_Union[EngineStatus, _Mapping]] = ...) -> None: ...

class EngineStatus(_message.Message):
    __slots__ = ("instance_id", "generation", "interface_name", "listen_port", "mtu", "map", "membership", "name", "addresses", "routes", "peers", "counters", "interface_kind", "dns", "own_routes", "rules", "relay_map_servers", "takeover")
    class CountersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_NAME_FIELD_NUMBER: _ClassVar[int]
    LISTEN_PORT_FIELD_NUMBER: _ClassVar[int]
    MTU_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_KIND_FIELD_NUMBER: _ClassVar[int]
    DNS_FIELD_NUMBER: _ClassVar[int]
    OWN_ROUTES_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    RELAY_MAP_SERVERS_FIELD_NUMBER: _ClassVar[int]
    TAKEOVER_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    generation: int
    interface_name: str
    listen_port: int
    mtu: int
    map: MapState
    membership: Membership
    name: str
    addresses: _containers.RepeatedCompositeFieldContainer[_netmap_pb2.Prefix]
    routes: _containers.RepeatedCompositeFieldContainer[_netmap_pb2.Prefix]
    peers: _containers.RepeatedCompositeFieldContainer[PeerStatus]
    counters: _containers.ScalarMap[str, int]
    interface_kind: InterfaceKind
    dns: DnsStatus
    own_routes: _containers.RepeatedCompositeFieldContainer[_netmap_pb2.Prefix]
    rules: _containers.RepeatedCompositeFieldContainer[RuleStatus]
    relay_map_servers: int
    takeover: Takeover
    def __init__(self, instance_id: _Optional[str] = ..., generation: _Optional[int] = ..., interface_name: _Optional[str] = ..., listen_port: _Optional[int] = ..., mtu: _Optional[int] = ..., map: _Optional[_Union[MapState, _Mapping]] = ..., membership: _Optional[_Union[Membership, _Mapping]] = ..., name: _Optional[str] = ..., addresses: _Optional[_Iterable[_Union[_netmap_pb2.Prefix, _Mapping]]] = ..., routes: _Optional[_Iterable[_Union[_netmap_pb2.Prefix, _Mapping]]] = ..., peers: _Optional[_Iterable[_Union[PeerStatus, _Mapping]]] = ..., counters: _Optional[_Mapping[str, int]] = ..., interface_kind: _Optional[_Union[InterfaceKind, str]] = ..., dns: _Optional[_Union[DnsStatus, _Mapping]] = ..., own_routes: _Optional[_Iterable[_Union[_netmap_pb2.Prefix, _Mapping]]] = ..., rules: _Optional[_Iterable[_Union[RuleStatus, _Mapping]]] = ..., relay_map_servers: _Optional[int] = ..., takeover: _Optional[_Union[Takeover, _Mapping]] = ...) -> None: ...

class Takeover(_message.Message):
    __slots__ = ("former_instance_id", "sessions", "flows", "gap_us", "ordinary")
    FORMER_INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    FLOWS_FIELD_NUMBER: _ClassVar[int]
    GAP_US_FIELD_NUMBER: _ClassVar[int]
    ORDINARY_FIELD_NUMBER: _ClassVar[int]
    former_instance_id: str
    sessions: int
    flows: int
    gap_us: int
    ordinary: str
    def __init__(self, former_instance_id: _Optional[str] = ..., sessions: _Optional[int] = ..., flows: _Optional[int] = ..., gap_us: _Optional[int] = ..., ordinary: _Optional[str] = ...) -> None: ...

class RuleStatus(_message.Message):
    __slots__ = ("rule_id", "name", "packets", "bytes")
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    rule_id: bytes
    name: str
    packets: int
    bytes: int
    def __init__(self, rule_id: _Optional[bytes] = ..., name: _Optional[str] = ..., packets: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class DnsStatus(_message.Message):
    __slots__ = ("listen", "error", "domain", "reverse_zones", "routes")
    LISTEN_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    REVERSE_ZONES_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    listen: _node_pb2.NodeEndpoint
    error: str
    domain: str
    reverse_zones: _containers.RepeatedScalarFieldContainer[str]
    routes: _containers.RepeatedCompositeFieldContainer[_netmap_pb2.DnsRoute]
    def __init__(self, listen: _Optional[_Union[_node_pb2.NodeEndpoint, _Mapping]] = ..., error: _Optional[str] = ..., domain: _Optional[str] = ..., reverse_zones: _Optional[_Iterable[str]] = ..., routes: _Optional[_Iterable[_Union[_netmap_pb2.DnsRoute, _Mapping]]] = ...) -> None: ...

class PeerStatus(_message.Message):
    __slots__ = ("node_id", "name", "wireguard_public_key", "addresses", "endpoint", "latest_handshake_at", "bytes_received", "bytes_sent", "path_mtu", "path_mtu_state")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    WIREGUARD_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    LATEST_HANDSHAKE_AT_FIELD_NUMBER: _ClassVar[int]
    BYTES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    PATH_MTU_FIELD_NUMBER: _ClassVar[int]
    PATH_MTU_STATE_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    name: str
    wireguard_public_key: bytes
    addresses: _containers.RepeatedCompositeFieldContainer[_netmap_pb2.Prefix]
    endpoint: _node_pb2.NodeEndpoint
    latest_handshake_at: _timestamp_pb2.Timestamp
    bytes_received: int
    bytes_sent: int
    path_mtu: int
    path_mtu_state: PathMtuState
    def __init__(self, node_id: _Optional[str] = ..., name: _Optional[str] = ..., wireguard_public_key: _Optional[bytes] = ..., addresses: _Optional[_Iterable[_Union[_netmap_pb2.Prefix, _Mapping]]] = ..., endpoint: _Optional[_Union[_node_pb2.NodeEndpoint, _Mapping]] = ..., latest_handshake_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., bytes_received: _Optional[int] = ..., bytes_sent: _Optional[int] = ..., path_mtu: _Optional[int] = ..., path_mtu_state: _Optional[_Union[PathMtuState, str]] = ...) -> None: ...

class EngineEvent(_message.Message):
    __slots__ = ("occurred_at", "name", "node_id", "detail")
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    occurred_at: _timestamp_pb2.Timestamp
    name: str
    node_id: str
    detail: str
    def __init__(self, occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., name: _Optional[str] = ..., node_id: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class Packet(_message.Message):
    __slots__ = ("source", "destination", "protocol", "source_port", "destination_port")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PORT_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_PORT_FIELD_NUMBER: _ClassVar[int]
    source: bytes
    destination: bytes
    protocol: int
    source_port: int
    destination_port: int
    def __init__(self, source: _Optional[bytes] = ..., destination: _Optional[bytes] = ..., protocol: _Optional[int] = ..., source_port: _Optional[int] = ..., destination_port: _Optional[int] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("packet", "direction")
    PACKET_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    packet: Packet
    direction: Direction
    def __init__(self, packet: _Optional[_Union[Packet, _Mapping]] = ..., direction: _Optional[_Union[Direction, str]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("forwarded", "hops")
    FORWARDED_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    forwarded: bool
    hops: _containers.RepeatedCompositeFieldContainer[Hop]
    def __init__(self, forwarded: _Optional[bool] = ..., hops: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ...) -> None: ...

class Hop(_message.Message):
    __slots__ = ("name", "ok", "detail", "remedy", "rule_id", "rule_name", "node_id", "policy_file", "policy_line")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    RULE_NAME_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FILE_FIELD_NUMBER: _ClassVar[int]
    POLICY_LINE_FIELD_NUMBER: _ClassVar[int]
    name: str
    ok: bool
    detail: str
    remedy: str
    rule_id: bytes
    rule_name: str
    node_id: str
    policy_file: str
    policy_line: int
    def __init__(self, name: _Optional[str] = ..., ok: _Optional[bool] = ..., detail: _Optional[str] = ..., remedy: _Optional[str] = ..., rule_id: _Optional[bytes] = ..., rule_name: _Optional[str] = ..., node_id: _Optional[str] = ..., policy_file: _Optional[str] = ..., policy_line: _Optional[int] = ...) -> None: ...

class PingRequest(_message.Message):
    __slots__ = ("destination", "count", "interval_ms", "timeout_ms")
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    destination: bytes
    count: int
    interval_ms: int
    timeout_ms: int
    def __init__(self, destination: _Optional[bytes] = ..., count: _Optional[int] = ..., interval_ms: _Optional[int] = ..., timeout_ms: _Optional[int] = ...) -> None: ...

class PingResponse(_message.Message):
    __slots__ = ("sequence", "rtt_us", "error")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RTT_US_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    rtt_us: int
    error: str
    def __init__(self, sequence: _Optional[int] = ..., rtt_us: _Optional[int] = ..., error: _Optional[str] = ...) -> None: ...

class ShutdownRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ShutdownResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EvaluateRequest(_message.Message):
    __slots__ = ("source", "destination", "rules", "packets", "source_view", "destination_views")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_VIEW_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_VIEWS_FIELD_NUMBER: _ClassVar[int]
    source: _netmap_pb2.NodeRecord
    destination: _netmap_pb2.NodeRecord
    rules: _containers.RepeatedCompositeFieldContainer[_netmap_pb2.RuleRecord]
    packets: _containers.RepeatedCompositeFieldContainer[Packet]
    source_view: MapView
    destination_views: _containers.RepeatedCompositeFieldContainer[MapView]
    def __init__(self, source: _Optional[_Union[_netmap_pb2.NodeRecord, _Mapping]] = ..., destination: _Optional[_Union[_netmap_pb2.NodeRecord, _Mapping]] = ..., rules: _Optional[_Iterable[_Union[_netmap_pb2.RuleRecord, _Mapping]]] = ..., packets: _Optional[_Iterable[_Union[Packet, _Mapping]]] = ..., source_view: _Optional[_Union[MapView, _Mapping]] = ..., destination_views: _Optional[_Iterable[_Union[MapView, _Mapping]]] = ...) -> None: ...

class EvaluateResponse(_message.Message):
    __slots__ = ("verdicts", "followings")
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    FOLLOWINGS_FIELD_NUMBER: _ClassVar[int]
    verdicts: _containers.RepeatedCompositeFieldContainer[Verdict]
    followings: _containers.RepeatedCompositeFieldContainer[Following]
    def __init__(self, verdicts: _Optional[_Iterable[_Union[Verdict, _Mapping]]] = ..., followings: _Optional[_Iterable[_Union[Following, _Mapping]]] = ...) -> None: ...

class MapView(_message.Message):
    __slots__ = ("own", "peers", "rules", "hints", "epoch", "revision", "stale")
    OWN_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    HINTS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    own: _netmap_pb2.NodeRecord
    peers: _containers.RepeatedCompositeFieldContainer[_netmap_pb2.NodeRecord]
    rules: _containers.RepeatedCompositeFieldContainer[_netmap_pb2.RuleRecord]
    hints: _containers.RepeatedCompositeFieldContainer[_netmap_pb2.EndpointHint]
    epoch: int
    revision: int
    stale: _netmap_pb2.StalePolicy
    def __init__(self, own: _Optional[_Union[_netmap_pb2.NodeRecord, _Mapping]] = ..., peers: _Optional[_Iterable[_Union[_netmap_pb2.NodeRecord, _Mapping]]] = ..., rules: _Optional[_Iterable[_Union[_netmap_pb2.RuleRecord, _Mapping]]] = ..., hints: _Optional[_Iterable[_Union[_netmap_pb2.EndpointHint, _Mapping]]] = ..., epoch: _Optional[int] = ..., revision: _Optional[int] = ..., stale: _Optional[_Union[_netmap_pb2.StalePolicy, str]] = ...) -> None: ...

class Following(_message.Message):
    __slots__ = ("outbound", "destination_id", "inbound")
    OUTBOUND_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    INBOUND_FIELD_NUMBER: _ClassVar[int]
    outbound: ExplainResponse
    destination_id: str
    inbound: ExplainResponse
    def __init__(self, outbound: _Optional[_Union[ExplainResponse, _Mapping]] = ..., destination_id: _Optional[str] = ..., inbound: _Optional[_Union[ExplainResponse, _Mapping]] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("allowed", "rule_name", "action", "rule_id")
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    RULE_NAME_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    allowed: bool
    rule_name: str
    action: _policy_pb2.PolicyAction
    rule_id: bytes
    def __init__(self, allowed: _Optional[bool] = ..., rule_name: _Optional[str] = ..., action: _Optional[_Union[_policy_pb2.PolicyAction, str]] = ..., rule_id: _Optional[bytes] = ...) -> None: ...
