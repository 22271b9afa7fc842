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

class Health(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HEALTH_UNSPECIFIED: _ClassVar[Health]
    HEALTH_HEALTHY: _ClassVar[Health]
    HEALTH_DEGRADED: _ClassVar[Health]
    HEALTH_RECOVERY: _ClassVar[Health]
    HEALTH_ISOLATED: _ClassVar[Health]

class PeerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PEER_STATE_UNSPECIFIED: _ClassVar[PeerState]
    PEER_STATE_ACTIVE: _ClassVar[PeerState]
    PEER_STATE_IDLE: _ClassVar[PeerState]
    PEER_STATE_NEVER: _ClassVar[PeerState]

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

class CheckVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHECK_VERDICT_UNSPECIFIED: _ClassVar[CheckVerdict]
    CHECK_VERDICT_OK: _ClassVar[CheckVerdict]
    CHECK_VERDICT_WARN: _ClassVar[CheckVerdict]
    CHECK_VERDICT_FAIL: _ClassVar[CheckVerdict]
    CHECK_VERDICT_SKIPPED: _ClassVar[CheckVerdict]
HEALTH_UNSPECIFIED: Health
HEALTH_HEALTHY: Health
HEALTH_DEGRADED: Health
HEALTH_RECOVERY: Health
HEALTH_ISOLATED: Health
PEER_STATE_UNSPECIFIED: PeerState
PEER_STATE_ACTIVE: PeerState
PEER_STATE_IDLE: PeerState
PEER_STATE_NEVER: PeerState
AGENT_STATE_UNSPECIFIED: AgentState
AGENT_STATE_UNENROLLED: AgentState
AGENT_STATE_RUNNING: AgentState
AGENT_STATE_REVOKED: AgentState
CONTROLLER_STATE_UNSPECIFIED: ControllerState
CONTROLLER_STATE_CONNECTED: ControllerState
CONTROLLER_STATE_CONNECTING: ControllerState
CONTROLLER_STATE_UNREACHABLE: ControllerState
CHECK_VERDICT_UNSPECIFIED: CheckVerdict
CHECK_VERDICT_OK: CheckVerdict
CHECK_VERDICT_WARN: CheckVerdict
CHECK_VERDICT_FAIL: CheckVerdict
CHECK_VERDICT_SKIPPED: CheckVerdict

class ReplaceEngineRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReplaceEngineResponse(_message.Message):
    __slots__ = ("engine_version", "takeover")
    ENGINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    TAKEOVER_FIELD_NUMBER: _ClassVar[int]
    engine_version: str
    takeover: _engine_pb2.Takeover
    def __init__(self, engine_version: _Optional[str] = ..., takeover: _Optional[_Union[_engine_pb2.Takeover, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("state", "controller_url", "tenant_id", "cvlan_id", "cvlan_name", "node_id", "name", "controller", "controller_error", "certificate_not_after", "engine", "version", "problems", "health", "health_reason", "degraded", "head_age_ms", "controller_silence_ms", "peers", "controller_version", "engine_version", "capability_version")
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
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    HEALTH_REASON_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    HEAD_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_SILENCE_MS_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_VERSION_FIELD_NUMBER: _ClassVar[int]
    ENGINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_VERSION_FIELD_NUMBER: _ClassVar[int]
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
    health: Health
    health_reason: str
    degraded: _containers.RepeatedScalarFieldContainer[str]
    head_age_ms: int
    controller_silence_ms: int
    peers: _containers.RepeatedCompositeFieldContainer[PeerSummary]
    controller_version: str
    engine_version: str
    capability_version: int
    def __init__(self, state: _Optional[_Union[AgentState, str]] = ..., controller_url: _Optional[str] = ..., tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., cvlan_name: _Optional[str] = ..., node_id: _Optional[str] = ..., name: _Optional[str] = ..., controller: _Optional[_Union[ControllerState, str]] = ..., controller_error: _Optional[str] = ..., certificate_not_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., engine: _Optional[_Union[_engine_pb2.EngineStatus, _Mapping]] = ..., version: _Optional[str] = ..., problems: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ..., health: _Optional[_Union[Health, str]] = ..., health_reason: _Optional[str] = ..., degraded: _Optional[_Iterable[str]] = ..., head_age_ms: _Optional[int] = ..., controller_silence_ms: _Optional[int] = ..., peers: _Optional[_Iterable[_Union[PeerSummary, _Mapping]]] = ..., controller_version: _Optional[str] = ..., engine_version: _Optional[str] = ..., capability_version: _Optional[int] = ...) -> None: ...

class PeerSummary(_message.Message):
    __slots__ = ("node_id", "name", "state", "handshake_age_ms")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HANDSHAKE_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    name: str
    state: PeerState
    handshake_age_ms: int
    def __init__(self, node_id: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[_Union[PeerState, str]] = ..., handshake_age_ms: _Optional[int] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("part", "message", "remedy")
    PART_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    part: str
    message: str
    remedy: str
    def __init__(self, part: _Optional[str] = ..., message: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...

class WatchStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchStatusResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: AgentStatus
    def __init__(self, status: _Optional[_Union[AgentStatus, _Mapping]] = ...) -> None: ...

class DiagnoseRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DiagnoseResponse(_message.Message):
    __slots__ = ("check",)
    CHECK_FIELD_NUMBER: _ClassVar[int]
    check: Check
    def __init__(self, check: _Optional[_Union[Check, _Mapping]] = ...) -> None: ...

class Check(_message.Message):
    __slots__ = ("name", "verdict", "found", "remedy")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    name: str
    verdict: CheckVerdict
    found: str
    remedy: str
    def __init__(self, name: _Optional[str] = ..., verdict: _Optional[_Union[CheckVerdict, str]] = ..., found: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...

class CollectDebugRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CollectDebugResponse(_message.Message):
    __slots__ = ("config", "log_lines", "engine_log_lines")
    class ConfigEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    LOG_LINES_FIELD_NUMBER: _ClassVar[int]
    ENGINE_LOG_LINES_FIELD_NUMBER: _ClassVar[int]
    config: _containers.ScalarMap[str, str]
    log_lines: _containers.RepeatedScalarFieldContainer[str]
    engine_log_lines: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, config: _Optional[_Mapping[str, str]] = ..., log_lines: _Optional[_Iterable[str]] = ..., engine_log_lines: _Optional[_Iterable[str]] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("destination", "protocol", "port", "source")
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    destination: str
    protocol: int
    port: int
    source: str
    def __init__(self, destination: _Optional[str] = ..., protocol: _Optional[int] = ..., port: _Optional[int] = ..., source: _Optional[str] = ...) -> None: ...

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
