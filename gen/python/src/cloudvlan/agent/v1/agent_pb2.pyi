import datetime

from cloudvlan.engine.v1 import engine_pb2 as _engine_pb2
from cloudvlan.options.v1 import options_pb2 as _options_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AGENT_STATE_UNSPECIFIED: _ClassVar[AgentState]
    AGENT_STATE_UNENROLLED: _ClassVar[AgentState]
    AGENT_STATE_RUNNING: _ClassVar[AgentState]
    AGENT_STATE_REVOKED: _ClassVar[AgentState]

class ControllerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTROLLER_STATE_UNSPECIFIED: _ClassVar[ControllerState]
    CONTROLLER_STATE_CONNECTED: _ClassVar[ControllerState]
    CONTROLLER_STATE_CONNECTING: _ClassVar[ControllerState]
    CONTROLLER_STATE_UNREACHABLE: _ClassVar[ControllerState]
AGENT_STATE_UNSPECIFIED: AgentState
AGENT_STATE_UNENROLLED: AgentState
AGENT_STATE_RUNNING: AgentState
AGENT_STATE_REVOKED: AgentState
CONTROLLER_STATE_UNSPECIFIED: ControllerState
CONTROLLER_STATE_CONNECTED: ControllerState
CONTROLLER_STATE_CONNECTING: ControllerState
CONTROLLER_STATE_UNREACHABLE: ControllerState

class JoinRequest(_message.Message):
    __slots__ = ("join_string", "name")
    JOIN_STRING_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    join_string: str
    name: str
    def __init__(self, join_string: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class JoinResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: AgentStatus
    def __init__(self, status: _Optional[_Union[AgentStatus, _Mapping]] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: AgentStatus
    def __init__(self, status: _Optional[_Union[AgentStatus, _Mapping]] = ...) -> None: ...

class AgentStatus(_message.Message):
    __slots__ = ("state", "controller_url", "tenant_id", "cvlan_id", "cvlan_name", "node_id", "name", "controller", "controller_error", "certificate_not_after", "engine", "version", "problems")
    STATE_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_URL_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_NAME_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_ERROR_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_NOT_AFTER_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    state: AgentState
    controller_url: str
    tenant_id: str
    cvlan_id: str
    cvlan_name: str
    node_id: str
    name: str
    controller: ControllerState
    controller_error: str
    certificate_not_after: _timestamp_pb2.Timestamp
    engine: _engine_pb2.EngineStatus
    version: str
    problems: _containers.RepeatedCompositeFieldContainer[Problem]
    def __init__(self, state: _Optional[_Union[AgentState, str]] = ..., controller_url: _Optional[str] = ..., tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., cvlan_name: _Optional[str] = ..., node_id: _Optional[str] = ..., name: _Optional[str] = ..., controller: _Optional[_Union[ControllerState, str]] = ..., controller_error: _Optional[str] = ..., certificate_not_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., engine: _Optional[_Union[_engine_pb2.EngineStatus, _Mapping]] = ..., version: _Optional[str] = ..., problems: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("part", "message", "remedy")
    PART_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    part: str
    message: str
    remedy: str
    def __init__(self, part: _Optional[str] = ..., message: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("destination", "protocol", "port")
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    destination: str
    protocol: int
    port: int
    def __init__(self, destination: _Optional[str] = ..., protocol: _Optional[int] = ..., port: _Optional[int] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("explanation",)
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    explanation: _engine_pb2.ExplainResponse
    def __init__(self, explanation: _Optional[_Union[_engine_pb2.ExplainResponse, _Mapping]] = ...) -> None: ...

class PingRequest(_message.Message):
    __slots__ = ("destination", "count", "interval_ms", "timeout_ms")
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    destination: str
    count: int
    interval_ms: int
    timeout_ms: int
    def __init__(self, destination: _Optional[str] = ..., count: _Optional[int] = ..., interval_ms: _Optional[int] = ..., timeout_ms: _Optional[int] = ...) -> None: ...

class PingResponse(_message.Message):
    __slots__ = ("address", "reply")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    address: str
    reply: _engine_pb2.PingResponse
    def __init__(self, address: _Optional[str] = ..., reply: _Optional[_Union[_engine_pb2.PingResponse, _Mapping]] = ...) -> None: ...
