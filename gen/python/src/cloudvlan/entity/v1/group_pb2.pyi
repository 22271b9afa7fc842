from cloudvlan.entity.v1 import common_pb2 as _common_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Group(_message.Message):
    __slots__ = ("id", "tenant_id", "cvlan_id", "name", "provenance", "cluster_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    tenant_id: str
    cvlan_id: str
    name: str
    provenance: _common_pb2.Provenance
    cluster_id: str
    def __init__(self, id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., name: _Optional[str] = ..., provenance: _Optional[_Union[_common_pb2.Provenance, _Mapping]] = ..., cluster_id: _Optional[str] = ...) -> None: ...

class GroupMember(_message.Message):
    __slots__ = ("group_id", "node_id")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    group_id: str
    node_id: str
    def __init__(self, group_id: _Optional[str] = ..., node_id: _Optional[str] = ...) -> None: ...

class GroupWithCount(_message.Message):
    __slots__ = ("group", "members")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    group: Group
    members: int
    def __init__(self, group: _Optional[_Union[Group, _Mapping]] = ..., members: _Optional[int] = ...) -> None: ...
