from cloudvlan.entity.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Relay(_message.Message):
    __slots__ = ("id", "region_id", "name", "endpoints", "status", "provenance", "cluster_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    REGION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    region_id: str
    name: str
    endpoints: _containers.RepeatedScalarFieldContainer[str]
    status: _common_pb2.Status
    provenance: _common_pb2.Provenance
    cluster_id: str
    def __init__(self, id: _Optional[str] = ..., region_id: _Optional[str] = ..., name: _Optional[str] = ..., endpoints: _Optional[_Iterable[str]] = ..., status: _Optional[_Union[_common_pb2.Status, str]] = ..., provenance: _Optional[_Union[_common_pb2.Provenance, _Mapping]] = ..., cluster_id: _Optional[str] = ...) -> None: ...

class RelayStats(_message.Message):
    __slots__ = ("clients", "bytes_forwarded")
    CLIENTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FORWARDED_FIELD_NUMBER: _ClassVar[int]
    clients: int
    bytes_forwarded: int
    def __init__(self, clients: _Optional[int] = ..., bytes_forwarded: _Optional[int] = ...) -> None: ...
