import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NodeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_KIND_UNSPECIFIED: _ClassVar[NodeKind]
    NODE_KIND_AGENT: _ClassVar[NodeKind]
    NODE_KIND_RELAY: _ClassVar[NodeKind]
    NODE_KIND_VROUTER: _ClassVar[NodeKind]

class NodeStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_STATUS_UNSPECIFIED: _ClassVar[NodeStatus]
    NODE_STATUS_JOINING: _ClassVar[NodeStatus]
    NODE_STATUS_ACTIVE: _ClassVar[NodeStatus]
    NODE_STATUS_REVOKED: _ClassVar[NodeStatus]
NODE_KIND_UNSPECIFIED: NodeKind
NODE_KIND_AGENT: NodeKind
NODE_KIND_RELAY: NodeKind
NODE_KIND_VROUTER: NodeKind
NODE_STATUS_UNSPECIFIED: NodeStatus
NODE_STATUS_JOINING: NodeStatus
NODE_STATUS_ACTIVE: NodeStatus
NODE_STATUS_REVOKED: NodeStatus

class Node(_message.Message):
    __slots__ = ("id", "tenant_id", "cvlan_id", "name", "kind", "status", "addresses", "wireguard_public_key", "control_public_key", "tags", "group_ids", "routes", "capability_version", "joined_at", "revoked_at", "cluster_id")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    WIREGUARD_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTROL_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    GROUP_IDS_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_VERSION_FIELD_NUMBER: _ClassVar[int]
    JOINED_AT_FIELD_NUMBER: _ClassVar[int]
    REVOKED_AT_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    tenant_id: str
    cvlan_id: str
    name: str
    kind: NodeKind
    status: NodeStatus
    addresses: _containers.RepeatedScalarFieldContainer[str]
    wireguard_public_key: bytes
    control_public_key: bytes
    tags: _containers.ScalarMap[str, str]
    group_ids: _containers.RepeatedScalarFieldContainer[str]
    routes: _containers.RepeatedCompositeFieldContainer[NodeRoute]
    capability_version: int
    joined_at: _timestamp_pb2.Timestamp
    revoked_at: _timestamp_pb2.Timestamp
    cluster_id: str
    def __init__(self, id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[_Union[NodeKind, str]] = ..., status: _Optional[_Union[NodeStatus, str]] = ..., addresses: _Optional[_Iterable[str]] = ..., wireguard_public_key: _Optional[bytes] = ..., control_public_key: _Optional[bytes] = ..., tags: _Optional[_Mapping[str, str]] = ..., group_ids: _Optional[_Iterable[str]] = ..., routes: _Optional[_Iterable[_Union[NodeRoute, _Mapping]]] = ..., capability_version: _Optional[int] = ..., joined_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revoked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cluster_id: _Optional[str] = ...) -> None: ...

class NodeRoute(_message.Message):
    __slots__ = ("prefix",)
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    def __init__(self, prefix: _Optional[str] = ...) -> None: ...

class NodeEndpoint(_message.Message):
    __slots__ = ("address", "port")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    address: str
    port: int
    def __init__(self, address: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...
