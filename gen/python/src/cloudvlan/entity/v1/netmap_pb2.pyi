import datetime

from cloudvlan.entity.v1 import node_pb2 as _node_pb2
from cloudvlan.entity.v1 import policy_pb2 as _policy_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class KeyRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_ROLE_UNSPECIFIED: _ClassVar[KeyRole]
    KEY_ROLE_ENROL: _ClassVar[KeyRole]
    KEY_ROLE_POLICY: _ClassVar[KeyRole]
    KEY_ROLE_MAP: _ClassVar[KeyRole]

class StalePolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STALE_POLICY_UNSPECIFIED: _ClassVar[StalePolicy]
    STALE_POLICY_KEEP: _ClassVar[StalePolicy]
    STALE_POLICY_NO_NEW_FLOWS: _ClassVar[StalePolicy]
    STALE_POLICY_STOP: _ClassVar[StalePolicy]
KEY_ROLE_UNSPECIFIED: KeyRole
KEY_ROLE_ENROL: KeyRole
KEY_ROLE_POLICY: KeyRole
KEY_ROLE_MAP: KeyRole
STALE_POLICY_UNSPECIFIED: StalePolicy
STALE_POLICY_KEEP: StalePolicy
STALE_POLICY_NO_NEW_FLOWS: StalePolicy
STALE_POLICY_STOP: StalePolicy

class Signed(_message.Message):
    __slots__ = ("key_id", "payload", "signature")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    payload: bytes
    signature: bytes
    def __init__(self, key_id: _Optional[str] = ..., payload: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Keyset(_message.Message):
    __slots__ = ("tenant_id", "version", "keys", "issued_at")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    version: int
    keys: _containers.RepeatedCompositeFieldContainer[DelegatedKey]
    issued_at: _timestamp_pb2.Timestamp
    def __init__(self, tenant_id: _Optional[str] = ..., version: _Optional[int] = ..., keys: _Optional[_Iterable[_Union[DelegatedKey, _Mapping]]] = ..., issued_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DelegatedKey(_message.Message):
    __slots__ = ("key_id", "role", "public_key", "not_before", "not_after")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    role: KeyRole
    public_key: bytes
    not_before: _timestamp_pb2.Timestamp
    not_after: _timestamp_pb2.Timestamp
    def __init__(self, key_id: _Optional[str] = ..., role: _Optional[_Union[KeyRole, str]] = ..., public_key: _Optional[bytes] = ..., not_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., not_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NodeRecord(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "node_id", "record_revision", "name", "kind", "wireguard_public_key", "addresses", "selectors", "routes", "via", "capability_version")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    RECORD_REVISION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    WIREGUARD_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    SELECTORS_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    VIA_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    node_id: str
    record_revision: int
    name: str
    kind: _node_pb2.NodeKind
    wireguard_public_key: bytes
    addresses: _containers.RepeatedCompositeFieldContainer[Prefix]
    selectors: _containers.RepeatedScalarFieldContainer[bytes]
    routes: _containers.RepeatedCompositeFieldContainer[Prefix]
    via: str
    capability_version: int
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., node_id: _Optional[str] = ..., record_revision: _Optional[int] = ..., name: _Optional[str] = ..., kind: _Optional[_Union[_node_pb2.NodeKind, str]] = ..., wireguard_public_key: _Optional[bytes] = ..., addresses: _Optional[_Iterable[_Union[Prefix, _Mapping]]] = ..., selectors: _Optional[_Iterable[bytes]] = ..., routes: _Optional[_Iterable[_Union[Prefix, _Mapping]]] = ..., via: _Optional[str] = ..., capability_version: _Optional[int] = ...) -> None: ...

class Prefix(_message.Message):
    __slots__ = ("address", "length")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    address: bytes
    length: int
    def __init__(self, address: _Optional[bytes] = ..., length: _Optional[int] = ...) -> None: ...

class DnsRecord(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "record_revision", "domain", "routes", "prefixes")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    RECORD_REVISION_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    record_revision: int
    domain: str
    routes: _containers.RepeatedCompositeFieldContainer[DnsRoute]
    prefixes: _containers.RepeatedCompositeFieldContainer[Prefix]
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., record_revision: _Optional[int] = ..., domain: _Optional[str] = ..., routes: _Optional[_Iterable[_Union[DnsRoute, _Mapping]]] = ..., prefixes: _Optional[_Iterable[_Union[Prefix, _Mapping]]] = ...) -> None: ...

class DnsRoute(_message.Message):
    __slots__ = ("suffix", "upstreams")
    SUFFIX_FIELD_NUMBER: _ClassVar[int]
    UPSTREAMS_FIELD_NUMBER: _ClassVar[int]
    suffix: str
    upstreams: _containers.RepeatedCompositeFieldContainer[DnsUpstream]
    def __init__(self, suffix: _Optional[str] = ..., upstreams: _Optional[_Iterable[_Union[DnsUpstream, _Mapping]]] = ...) -> None: ...

class DnsUpstream(_message.Message):
    __slots__ = ("address", "port")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    address: str
    port: int
    def __init__(self, address: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class RelayMap(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "record_revision", "servers")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    RECORD_REVISION_FIELD_NUMBER: _ClassVar[int]
    SERVERS_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    record_revision: int
    servers: _containers.RepeatedCompositeFieldContainer[RelayMapServer]
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., record_revision: _Optional[int] = ..., servers: _Optional[_Iterable[_Union[RelayMapServer, _Mapping]]] = ...) -> None: ...

class RelayMapServer(_message.Message):
    __slots__ = ("id", "region", "endpoints")
    ID_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    region: str
    endpoints: _containers.RepeatedCompositeFieldContainer[ServerEndpoint]
    def __init__(self, id: _Optional[str] = ..., region: _Optional[str] = ..., endpoints: _Optional[_Iterable[_Union[ServerEndpoint, _Mapping]]] = ...) -> None: ...

class ServerEndpoint(_message.Message):
    __slots__ = ("address", "port")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    address: bytes
    port: int
    def __init__(self, address: _Optional[bytes] = ..., port: _Optional[int] = ...) -> None: ...

class RootTransition(_message.Message):
    __slots__ = ("tenant_id", "sequence", "root_public_key", "issued_at", "former_root_public_key")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ROOT_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_FIELD_NUMBER: _ClassVar[int]
    FORMER_ROOT_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    sequence: int
    root_public_key: bytes
    issued_at: _timestamp_pb2.Timestamp
    former_root_public_key: bytes
    def __init__(self, tenant_id: _Optional[str] = ..., sequence: _Optional[int] = ..., root_public_key: _Optional[bytes] = ..., issued_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., former_root_public_key: _Optional[bytes] = ...) -> None: ...

class RuleRecord(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "rule_id", "policy_version", "name", "action", "sources", "destinations", "protocol", "ports", "tunnel")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    DESTINATIONS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    TUNNEL_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    rule_id: bytes
    policy_version: int
    name: str
    action: _policy_pb2.PolicyAction
    sources: _containers.RepeatedCompositeFieldContainer[RuleSelector]
    destinations: _containers.RepeatedCompositeFieldContainer[RuleSelector]
    protocol: _policy_pb2.PolicyProtocol
    ports: _containers.RepeatedCompositeFieldContainer[_policy_pb2.PortRange]
    tunnel: _policy_pb2.TunnelProtocol
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., rule_id: _Optional[bytes] = ..., policy_version: _Optional[int] = ..., name: _Optional[str] = ..., action: _Optional[_Union[_policy_pb2.PolicyAction, str]] = ..., sources: _Optional[_Iterable[_Union[RuleSelector, _Mapping]]] = ..., destinations: _Optional[_Iterable[_Union[RuleSelector, _Mapping]]] = ..., protocol: _Optional[_Union[_policy_pb2.PolicyProtocol, str]] = ..., ports: _Optional[_Iterable[_Union[_policy_pb2.PortRange, _Mapping]]] = ..., tunnel: _Optional[_Union[_policy_pb2.TunnelProtocol, str]] = ...) -> None: ...

class RuleSelector(_message.Message):
    __slots__ = ("any", "selector_id", "node_id", "prefix")
    ANY_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    any: bool
    selector_id: bytes
    node_id: str
    prefix: Prefix
    def __init__(self, any: _Optional[bool] = ..., selector_id: _Optional[bytes] = ..., node_id: _Optional[str] = ..., prefix: _Optional[_Union[Prefix, _Mapping]] = ...) -> None: ...

class PolicyManifest(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "policy_version", "rules_sha256", "rules")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    RULES_SHA256_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    policy_version: int
    rules_sha256: bytes
    rules: int
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., policy_version: _Optional[int] = ..., rules_sha256: _Optional[bytes] = ..., rules: _Optional[int] = ...) -> None: ...

class MapHead(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "epoch", "revision", "issued_at", "expires_at", "keyset_version", "stale_policy")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    KEYSET_VERSION_FIELD_NUMBER: _ClassVar[int]
    STALE_POLICY_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    epoch: int
    revision: int
    issued_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    keyset_version: int
    stale_policy: StalePolicy
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., epoch: _Optional[int] = ..., revision: _Optional[int] = ..., issued_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., keyset_version: _Optional[int] = ..., stale_policy: _Optional[_Union[StalePolicy, str]] = ...) -> None: ...

class MapUpdate(_message.Message):
    __slots__ = ("previous", "revision", "full", "more", "head", "keyset", "nodes", "rules", "removed_nodes", "removed_rules", "hints", "dns", "root_transitions", "head_kept", "suspended", "relay_map")
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    FULL_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    KEYSET_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    REMOVED_NODES_FIELD_NUMBER: _ClassVar[int]
    REMOVED_RULES_FIELD_NUMBER: _ClassVar[int]
    HINTS_FIELD_NUMBER: _ClassVar[int]
    DNS_FIELD_NUMBER: _ClassVar[int]
    ROOT_TRANSITIONS_FIELD_NUMBER: _ClassVar[int]
    HEAD_KEPT_FIELD_NUMBER: _ClassVar[int]
    SUSPENDED_FIELD_NUMBER: _ClassVar[int]
    RELAY_MAP_FIELD_NUMBER: _ClassVar[int]
    previous: int
    revision: int
    full: bool
    more: bool
    head: bytes
    keyset: bytes
    nodes: _containers.RepeatedScalarFieldContainer[bytes]
    rules: _containers.RepeatedScalarFieldContainer[bytes]
    removed_nodes: _containers.RepeatedScalarFieldContainer[str]
    removed_rules: _containers.RepeatedScalarFieldContainer[bytes]
    hints: _containers.RepeatedCompositeFieldContainer[EndpointHint]
    dns: bytes
    root_transitions: _containers.RepeatedScalarFieldContainer[bytes]
    head_kept: int
    suspended: bool
    relay_map: bytes
    def __init__(self, previous: _Optional[int] = ..., revision: _Optional[int] = ..., full: _Optional[bool] = ..., more: _Optional[bool] = ..., head: _Optional[bytes] = ..., keyset: _Optional[bytes] = ..., nodes: _Optional[_Iterable[bytes]] = ..., rules: _Optional[_Iterable[bytes]] = ..., removed_nodes: _Optional[_Iterable[str]] = ..., removed_rules: _Optional[_Iterable[bytes]] = ..., hints: _Optional[_Iterable[_Union[EndpointHint, _Mapping]]] = ..., dns: _Optional[bytes] = ..., root_transitions: _Optional[_Iterable[bytes]] = ..., head_kept: _Optional[int] = ..., suspended: _Optional[bool] = ..., relay_map: _Optional[bytes] = ...) -> None: ...

class EndpointHint(_message.Message):
    __slots__ = ("node_id", "endpoints")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    endpoints: _containers.RepeatedCompositeFieldContainer[_node_pb2.NodeEndpoint]
    def __init__(self, node_id: _Optional[str] = ..., endpoints: _Optional[_Iterable[_Union[_node_pb2.NodeEndpoint, _Mapping]]] = ...) -> None: ...
