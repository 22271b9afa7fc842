import datetime

from cloudvlan.entity.v1 import common_pb2 as _common_pb2
from cloudvlan.entity.v1 import node_pb2 as _node_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JoinTokenStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOIN_TOKEN_STATUS_UNSPECIFIED: _ClassVar[JoinTokenStatus]
    JOIN_TOKEN_STATUS_UNUSED: _ClassVar[JoinTokenStatus]
    JOIN_TOKEN_STATUS_USED: _ClassVar[JoinTokenStatus]
    JOIN_TOKEN_STATUS_REVOKED: _ClassVar[JoinTokenStatus]
    JOIN_TOKEN_STATUS_EXPIRED: _ClassVar[JoinTokenStatus]
JOIN_TOKEN_STATUS_UNSPECIFIED: JoinTokenStatus
JOIN_TOKEN_STATUS_UNUSED: JoinTokenStatus
JOIN_TOKEN_STATUS_USED: JoinTokenStatus
JOIN_TOKEN_STATUS_REVOKED: JoinTokenStatus
JOIN_TOKEN_STATUS_EXPIRED: JoinTokenStatus

class JoinToken(_message.Message):
    __slots__ = ("id", "tenant_id", "cvlan_id", "status", "expires_at", "tags", "group_ids", "node_kind", "node_id", "provenance", "cluster_id")
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
    STATUS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    GROUP_IDS_FIELD_NUMBER: _ClassVar[int]
    NODE_KIND_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    tenant_id: str
    cvlan_id: str
    status: JoinTokenStatus
    expires_at: _timestamp_pb2.Timestamp
    tags: _containers.ScalarMap[str, str]
    group_ids: _containers.RepeatedScalarFieldContainer[str]
    node_kind: _node_pb2.NodeKind
    node_id: str
    provenance: _common_pb2.Provenance
    cluster_id: str
    def __init__(self, id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., status: _Optional[_Union[JoinTokenStatus, str]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., tags: _Optional[_Mapping[str, str]] = ..., group_ids: _Optional[_Iterable[str]] = ..., node_kind: _Optional[_Union[_node_pb2.NodeKind, str]] = ..., node_id: _Optional[str] = ..., provenance: _Optional[_Union[_common_pb2.Provenance, _Mapping]] = ..., cluster_id: _Optional[str] = ...) -> None: ...

class JoinString(_message.Message):
    __slots__ = ("url", "ca_sha256", "root_key_sha256", "tenant_id", "token_id", "secret")
    URL_FIELD_NUMBER: _ClassVar[int]
    CA_SHA256_FIELD_NUMBER: _ClassVar[int]
    ROOT_KEY_SHA256_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    url: str
    ca_sha256: bytes
    root_key_sha256: bytes
    tenant_id: str
    token_id: str
    secret: bytes
    def __init__(self, url: _Optional[str] = ..., ca_sha256: _Optional[bytes] = ..., root_key_sha256: _Optional[bytes] = ..., tenant_id: _Optional[str] = ..., token_id: _Optional[str] = ..., secret: _Optional[bytes] = ...) -> None: ...
