import datetime

from cloudvlan.engine.v1 import engine_pb2 as _engine_pb2
from cloudvlan.entity.v1 import audit_log_pb2 as _audit_log_pb2
from cloudvlan.entity.v1 import common_pb2 as _common_pb2
from cloudvlan.entity.v1 import netmap_pb2 as _netmap_pb2
from cloudvlan.entity.v1 import node_pb2 as _node_pb2
from cloudvlan.options.v1 import options_pb2 as _options_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WhyRequest(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "source", "destination", "probes")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    PROBES_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    source: str
    destination: str
    probes: _containers.RepeatedCompositeFieldContainer[WhyProbe]
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., source: _Optional[str] = ..., destination: _Optional[str] = ..., probes: _Optional[_Iterable[_Union[WhyProbe, _Mapping]]] = ...) -> None: ...

class WhyProbe(_message.Message):
    __slots__ = ("protocol", "port")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    port: int
    def __init__(self, protocol: _Optional[int] = ..., port: _Optional[int] = ...) -> None: ...

class WhyResponse(_message.Message):
    __slots__ = ("answers", "source_id", "destination_id", "source_address", "destination_address", "epoch", "revision")
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[WhyAnswer]
    source_id: str
    destination_id: str
    source_address: str
    destination_address: str
    epoch: int
    revision: int
    def __init__(self, answers: _Optional[_Iterable[_Union[WhyAnswer, _Mapping]]] = ..., source_id: _Optional[str] = ..., destination_id: _Optional[str] = ..., source_address: _Optional[str] = ..., destination_address: _Optional[str] = ..., epoch: _Optional[int] = ..., revision: _Optional[int] = ...) -> None: ...

class WhyAnswer(_message.Message):
    __slots__ = ("forwarded", "hops")
    FORWARDED_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    forwarded: bool
    hops: _containers.RepeatedCompositeFieldContainer[_engine_pb2.Hop]
    def __init__(self, forwarded: _Optional[bool] = ..., hops: _Optional[_Iterable[_Union[_engine_pb2.Hop, _Mapping]]] = ...) -> None: ...

class MapPosition(_message.Message):
    __slots__ = ("epoch", "revision", "keyset_version")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    KEYSET_VERSION_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    revision: int
    keyset_version: int
    def __init__(self, epoch: _Optional[int] = ..., revision: _Optional[int] = ..., keyset_version: _Optional[int] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("position", "capability_version", "continued_heads")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTINUED_HEADS_FIELD_NUMBER: _ClassVar[int]
    position: MapPosition
    capability_version: int
    continued_heads: bool
    def __init__(self, position: _Optional[_Union[MapPosition, _Mapping]] = ..., capability_version: _Optional[int] = ..., continued_heads: _Optional[bool] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("update",)
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    update: _netmap_pb2.MapUpdate
    def __init__(self, update: _Optional[_Union[_netmap_pb2.MapUpdate, _Mapping]] = ...) -> None: ...

class PollRequest(_message.Message):
    __slots__ = ("position", "capability_version")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_VERSION_FIELD_NUMBER: _ClassVar[int]
    position: MapPosition
    capability_version: int
    def __init__(self, position: _Optional[_Union[MapPosition, _Mapping]] = ..., capability_version: _Optional[int] = ...) -> None: ...

class PollResponse(_message.Message):
    __slots__ = ("updates",)
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    updates: _containers.RepeatedCompositeFieldContainer[_netmap_pb2.MapUpdate]
    def __init__(self, updates: _Optional[_Iterable[_Union[_netmap_pb2.MapUpdate, _Mapping]]] = ...) -> None: ...

class ReportEndpointsRequest(_message.Message):
    __slots__ = ("endpoints",)
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    endpoints: _containers.RepeatedCompositeFieldContainer[_node_pb2.NodeEndpoint]
    def __init__(self, endpoints: _Optional[_Iterable[_Union[_node_pb2.NodeEndpoint, _Mapping]]] = ...) -> None: ...

class ReportEndpointsResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: str
    def __init__(self, version: _Optional[str] = ...) -> None: ...

class ListPresenceRequest(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "node_ids")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    node_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., node_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ListPresenceResponse(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[NodePresence]
    def __init__(self, nodes: _Optional[_Iterable[_Union[NodePresence, _Mapping]]] = ...) -> None: ...

class NodePresence(_message.Message):
    __slots__ = ("node_id", "online", "since", "last_seen", "revision")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ONLINE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    online: bool
    since: _timestamp_pb2.Timestamp
    last_seen: _timestamp_pb2.Timestamp
    revision: int
    def __init__(self, node_id: _Optional[str] = ..., online: _Optional[bool] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_seen: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class ListAuditLogsRequest(_message.Message):
    __slots__ = ("tenant_id", "filter", "pagination")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    filter: _audit_log_pb2.AuditFilter
    pagination: _common_pb2.Pagination
    def __init__(self, tenant_id: _Optional[str] = ..., filter: _Optional[_Union[_audit_log_pb2.AuditFilter, _Mapping]] = ..., pagination: _Optional[_Union[_common_pb2.Pagination, _Mapping]] = ...) -> None: ...

class ListAuditLogsResponse(_message.Message):
    __slots__ = ("audit_logs", "meta")
    AUDIT_LOGS_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    audit_logs: _containers.RepeatedCompositeFieldContainer[_audit_log_pb2.AuditLog]
    meta: _common_pb2.ListMeta
    def __init__(self, audit_logs: _Optional[_Iterable[_Union[_audit_log_pb2.AuditLog, _Mapping]]] = ..., meta: _Optional[_Union[_common_pb2.ListMeta, _Mapping]] = ...) -> None: ...
