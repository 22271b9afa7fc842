from cloudvlan.entity.v1 import common_pb2 as _common_pb2
from cloudvlan.entity.v1 import netmap_pb2 as _netmap_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SettingsLayer(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SETTINGS_LAYER_UNSPECIFIED: _ClassVar[SettingsLayer]
    SETTINGS_LAYER_PLATFORM: _ClassVar[SettingsLayer]
    SETTINGS_LAYER_CLUSTER: _ClassVar[SettingsLayer]
    SETTINGS_LAYER_TENANT: _ClassVar[SettingsLayer]
    SETTINGS_LAYER_CVLAN: _ClassVar[SettingsLayer]
SETTINGS_LAYER_UNSPECIFIED: SettingsLayer
SETTINGS_LAYER_PLATFORM: SettingsLayer
SETTINGS_LAYER_CLUSTER: SettingsLayer
SETTINGS_LAYER_TENANT: SettingsLayer
SETTINGS_LAYER_CVLAN: SettingsLayer

class Settings(_message.Message):
    __slots__ = ("stale_policy", "map_ttl_seconds", "join_token_max_ttl_seconds", "dns_routes")
    STALE_POLICY_FIELD_NUMBER: _ClassVar[int]
    MAP_TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    JOIN_TOKEN_MAX_TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DNS_ROUTES_FIELD_NUMBER: _ClassVar[int]
    stale_policy: _netmap_pb2.StalePolicy
    map_ttl_seconds: int
    join_token_max_ttl_seconds: int
    dns_routes: DnsRoutes
    def __init__(self, stale_policy: _Optional[_Union[_netmap_pb2.StalePolicy, str]] = ..., map_ttl_seconds: _Optional[int] = ..., join_token_max_ttl_seconds: _Optional[int] = ..., dns_routes: _Optional[_Union[DnsRoutes, _Mapping]] = ...) -> None: ...

class DnsRoutes(_message.Message):
    __slots__ = ("routes",)
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    routes: _containers.RepeatedCompositeFieldContainer[_netmap_pb2.DnsRoute]
    def __init__(self, routes: _Optional[_Iterable[_Union[_netmap_pb2.DnsRoute, _Mapping]]] = ...) -> None: ...

class EffectiveSettings(_message.Message):
    __slots__ = ("settings", "decided_by")
    class DecidedByEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: SettingsLayer
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[SettingsLayer, str]] = ...) -> None: ...
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    settings: Settings
    decided_by: _containers.ScalarMap[str, SettingsLayer]
    def __init__(self, settings: _Optional[_Union[Settings, _Mapping]] = ..., decided_by: _Optional[_Mapping[str, SettingsLayer]] = ...) -> None: ...

class LayerSettings(_message.Message):
    __slots__ = ("layer", "settings", "revision", "provenance")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    layer: SettingsLayer
    settings: Settings
    revision: int
    provenance: _common_pb2.Provenance
    def __init__(self, layer: _Optional[_Union[SettingsLayer, str]] = ..., settings: _Optional[_Union[Settings, _Mapping]] = ..., revision: _Optional[int] = ..., provenance: _Optional[_Union[_common_pb2.Provenance, _Mapping]] = ...) -> None: ...
