import datetime

from cloudvlan.entity.v1 import common_pb2 as _common_pb2
from cloudvlan.entity.v1 import settings_pb2 as _settings_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ObjectKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OBJECT_KIND_UNSPECIFIED: _ClassVar[ObjectKind]
    OBJECT_KIND_NODE: _ClassVar[ObjectKind]
    OBJECT_KIND_RULE: _ClassVar[ObjectKind]
OBJECT_KIND_UNSPECIFIED: ObjectKind
OBJECT_KIND_NODE: ObjectKind
OBJECT_KIND_RULE: ObjectKind

class Change(_message.Message):
    __slots__ = ("revision", "object_id", "node", "rule", "manifest", "keyset", "denial", "removal", "dns", "settings", "tenant", "relay_map")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    KEYSET_FIELD_NUMBER: _ClassVar[int]
    DENIAL_FIELD_NUMBER: _ClassVar[int]
    REMOVAL_FIELD_NUMBER: _ClassVar[int]
    DNS_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    RELAY_MAP_FIELD_NUMBER: _ClassVar[int]
    revision: int
    object_id: str
    node: bytes
    rule: bytes
    manifest: bytes
    keyset: bytes
    denial: Denial
    removal: Removal
    dns: bytes
    settings: _settings_pb2.EffectiveSettings
    tenant: TenantStanding
    relay_map: bytes
    def __init__(self, revision: _Optional[int] = ..., object_id: _Optional[str] = ..., node: _Optional[bytes] = ..., rule: _Optional[bytes] = ..., manifest: _Optional[bytes] = ..., keyset: _Optional[bytes] = ..., denial: _Optional[_Union[Denial, _Mapping]] = ..., removal: _Optional[_Union[Removal, _Mapping]] = ..., dns: _Optional[bytes] = ..., settings: _Optional[_Union[_settings_pb2.EffectiveSettings, _Mapping]] = ..., tenant: _Optional[_Union[TenantStanding, _Mapping]] = ..., relay_map: _Optional[bytes] = ...) -> None: ...

class Removal(_message.Message):
    __slots__ = ("kind",)
    KIND_FIELD_NUMBER: _ClassVar[int]
    kind: ObjectKind
    def __init__(self, kind: _Optional[_Union[ObjectKind, str]] = ...) -> None: ...

class Denial(_message.Message):
    __slots__ = ("subject", "issued_before")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ISSUED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    subject: str
    issued_before: _timestamp_pb2.Timestamp
    def __init__(self, subject: _Optional[str] = ..., issued_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TenantStanding(_message.Message):
    __slots__ = ("tenant_id", "status", "revision")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    status: _common_pb2.Status
    revision: int
    def __init__(self, tenant_id: _Optional[str] = ..., status: _Optional[_Union[_common_pb2.Status, str]] = ..., revision: _Optional[int] = ...) -> None: ...
