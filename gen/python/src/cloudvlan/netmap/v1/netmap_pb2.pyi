from cloudvlan.entity.v1 import netmap_pb2 as _netmap_pb2
from cloudvlan.entity.v1 import node_pb2 as _node_pb2
from cloudvlan.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

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
    __slots__ = ("position", "capability_version")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_VERSION_FIELD_NUMBER: _ClassVar[int]
    position: MapPosition
    capability_version: int
    def __init__(self, position: _Optional[_Union[MapPosition, _Mapping]] = ..., capability_version: _Optional[int] = ...) -> None: ...

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
    __slots__ = ()
    def __init__(self) -> None: ...
