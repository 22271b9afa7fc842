from cloudvlan.entity.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VRouter(_message.Message):
    __slots__ = ("id", "tenant_id", "cvlan_id", "name", "region_id", "status", "provenance", "cluster_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REGION_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    tenant_id: str
    cvlan_id: str
    name: str
    region_id: str
    status: _common_pb2.Status
    provenance: _common_pb2.Provenance
    cluster_id: str
    def __init__(self, id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., name: _Optional[str] = ..., region_id: _Optional[str] = ..., status: _Optional[_Union[_common_pb2.Status, str]] = ..., provenance: _Optional[_Union[_common_pb2.Provenance, _Mapping]] = ..., cluster_id: _Optional[str] = ...) -> None: ...

class VRouterStats(_message.Message):
    __slots__ = ("connections", "bytes_received", "bytes_sent")
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    BYTES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    connections: int
    bytes_received: int
    bytes_sent: int
    def __init__(self, connections: _Optional[int] = ..., bytes_received: _Optional[int] = ..., bytes_sent: _Optional[int] = ...) -> None: ...

class VRouterConnection(_message.Message):
    __slots__ = ("id", "vrouter_id", "remote_identity", "remote_prefixes")
    ID_FIELD_NUMBER: _ClassVar[int]
    VROUTER_ID_FIELD_NUMBER: _ClassVar[int]
    REMOTE_IDENTITY_FIELD_NUMBER: _ClassVar[int]
    REMOTE_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    id: str
    vrouter_id: str
    remote_identity: str
    remote_prefixes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., vrouter_id: _Optional[str] = ..., remote_identity: _Optional[str] = ..., remote_prefixes: _Optional[_Iterable[str]] = ...) -> None: ...
