from cloudvlan.entity.v1 import common_pb2 as _common_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Tenant(_message.Message):
    __slots__ = ("id", "name", "status", "root_key_sha256", "provenance", "cluster_id", "revision")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ROOT_KEY_SHA256_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    status: _common_pb2.Status
    root_key_sha256: bytes
    provenance: _common_pb2.Provenance
    cluster_id: str
    revision: int
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., status: _Optional[_Union[_common_pb2.Status, str]] = ..., root_key_sha256: _Optional[bytes] = ..., provenance: _Optional[_Union[_common_pb2.Provenance, _Mapping]] = ..., cluster_id: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class TenantStats(_message.Message):
    __slots__ = ("cvlans", "nodes")
    CVLANS_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    cvlans: int
    nodes: int
    def __init__(self, cvlans: _Optional[int] = ..., nodes: _Optional[int] = ...) -> None: ...
