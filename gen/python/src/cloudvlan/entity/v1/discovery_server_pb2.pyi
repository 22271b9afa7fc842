from cloudvlan.entity.v1 import common_pb2 as _common_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DiscoveryServer(_message.Message):
    __slots__ = ("id", "region_id", "endpoint", "status", "cluster_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    REGION_ID_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    region_id: str
    endpoint: str
    status: _common_pb2.Status
    cluster_id: str
    def __init__(self, id: _Optional[str] = ..., region_id: _Optional[str] = ..., endpoint: _Optional[str] = ..., status: _Optional[_Union[_common_pb2.Status, str]] = ..., cluster_id: _Optional[str] = ...) -> None: ...
