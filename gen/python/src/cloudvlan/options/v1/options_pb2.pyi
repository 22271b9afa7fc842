from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Scope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCOPE_UNSPECIFIED: _ClassVar[Scope]
    SCOPE_PLATFORM: _ClassVar[Scope]
    SCOPE_TENANT: _ClassVar[Scope]
    SCOPE_SELF: _ClassVar[Scope]
    SCOPE_HOST: _ClassVar[Scope]

class CallerKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALLER_KIND_UNSPECIFIED: _ClassVar[CallerKind]
    CALLER_KIND_PERSON: _ClassVar[CallerKind]
    CALLER_KIND_SERVICE: _ClassVar[CallerKind]
    CALLER_KIND_NODE: _ClassVar[CallerKind]

class Permission(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PERMISSION_UNSPECIFIED: _ClassVar[Permission]
    PERMISSION_NONE: _ClassVar[Permission]
    PERMISSION_TENANT_READ: _ClassVar[Permission]
    PERMISSION_TENANT_WRITE: _ClassVar[Permission]
    PERMISSION_API_KEY_READ: _ClassVar[Permission]
    PERMISSION_API_KEY_WRITE: _ClassVar[Permission]
    PERMISSION_CVLAN_READ: _ClassVar[Permission]
    PERMISSION_CVLAN_WRITE: _ClassVar[Permission]
    PERMISSION_NODE_READ: _ClassVar[Permission]
    PERMISSION_NODE_WRITE: _ClassVar[Permission]
    PERMISSION_JOIN_TOKEN_READ: _ClassVar[Permission]
    PERMISSION_JOIN_TOKEN_WRITE: _ClassVar[Permission]
    PERMISSION_GROUP_READ: _ClassVar[Permission]
    PERMISSION_GROUP_WRITE: _ClassVar[Permission]
    PERMISSION_TAG_READ: _ClassVar[Permission]
    PERMISSION_TAG_WRITE: _ClassVar[Permission]
    PERMISSION_POLICY_READ: _ClassVar[Permission]
    PERMISSION_POLICY_WRITE: _ClassVar[Permission]
    PERMISSION_REGION_READ: _ClassVar[Permission]
    PERMISSION_REGION_WRITE: _ClassVar[Permission]
    PERMISSION_AUDIT_READ: _ClassVar[Permission]
    PERMISSION_DISCOVERY_SERVER_READ: _ClassVar[Permission]
    PERMISSION_DISCOVERY_SERVER_WRITE: _ClassVar[Permission]
    PERMISSION_CONTROL_PLANE: _ClassVar[Permission]
SCOPE_UNSPECIFIED: Scope
SCOPE_PLATFORM: Scope
SCOPE_TENANT: Scope
SCOPE_SELF: Scope
SCOPE_HOST: Scope
CALLER_KIND_UNSPECIFIED: CallerKind
CALLER_KIND_PERSON: CallerKind
CALLER_KIND_SERVICE: CallerKind
CALLER_KIND_NODE: CallerKind
PERMISSION_UNSPECIFIED: Permission
PERMISSION_NONE: Permission
PERMISSION_TENANT_READ: Permission
PERMISSION_TENANT_WRITE: Permission
PERMISSION_API_KEY_READ: Permission
PERMISSION_API_KEY_WRITE: Permission
PERMISSION_CVLAN_READ: Permission
PERMISSION_CVLAN_WRITE: Permission
PERMISSION_NODE_READ: Permission
PERMISSION_NODE_WRITE: Permission
PERMISSION_JOIN_TOKEN_READ: Permission
PERMISSION_JOIN_TOKEN_WRITE: Permission
PERMISSION_GROUP_READ: Permission
PERMISSION_GROUP_WRITE: Permission
PERMISSION_TAG_READ: Permission
PERMISSION_TAG_WRITE: Permission
PERMISSION_POLICY_READ: Permission
PERMISSION_POLICY_WRITE: Permission
PERMISSION_REGION_READ: Permission
PERMISSION_REGION_WRITE: Permission
PERMISSION_AUDIT_READ: Permission
PERMISSION_DISCOVERY_SERVER_READ: Permission
PERMISSION_DISCOVERY_SERVER_WRITE: Permission
PERMISSION_CONTROL_PLANE: Permission
ACCESS_FIELD_NUMBER: _ClassVar[int]
access: _descriptor.FieldDescriptor

class Access(_message.Message):
    __slots__ = ("permission", "scope", "callers", "anonymous", "expired_certificate", "once", "residency", "suspended")
    PERMISSION_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CALLERS_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    ONCE_FIELD_NUMBER: _ClassVar[int]
    RESIDENCY_FIELD_NUMBER: _ClassVar[int]
    SUSPENDED_FIELD_NUMBER: _ClassVar[int]
    permission: Permission
    scope: Scope
    callers: _containers.RepeatedScalarFieldContainer[CallerKind]
    anonymous: bool
    expired_certificate: bool
    once: bool
    residency: bool
    suspended: bool
    def __init__(self, permission: _Optional[_Union[Permission, str]] = ..., scope: _Optional[_Union[Scope, str]] = ..., callers: _Optional[_Iterable[_Union[CallerKind, str]]] = ..., anonymous: _Optional[bool] = ..., expired_certificate: _Optional[bool] = ..., once: _Optional[bool] = ..., residency: _Optional[bool] = ..., suspended: _Optional[bool] = ...) -> None: ...
