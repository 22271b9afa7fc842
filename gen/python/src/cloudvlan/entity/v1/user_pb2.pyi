from cloudvlan.entity.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UserRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USER_ROLE_UNSPECIFIED: _ClassVar[UserRole]
    USER_ROLE_PLATFORM_OWNER: _ClassVar[UserRole]
    USER_ROLE_PLATFORM_ADMIN: _ClassVar[UserRole]
    USER_ROLE_ORGANIZATION_OWNER: _ClassVar[UserRole]
    USER_ROLE_ORGANIZATION_ADMIN: _ClassVar[UserRole]
    USER_ROLE_ORGANIZATION_USER: _ClassVar[UserRole]

class UserStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USER_STATUS_UNSPECIFIED: _ClassVar[UserStatus]
    USER_STATUS_INVITED: _ClassVar[UserStatus]
    USER_STATUS_ACTIVE: _ClassVar[UserStatus]
    USER_STATUS_SUSPENDED: _ClassVar[UserStatus]
USER_ROLE_UNSPECIFIED: UserRole
USER_ROLE_PLATFORM_OWNER: UserRole
USER_ROLE_PLATFORM_ADMIN: UserRole
USER_ROLE_ORGANIZATION_OWNER: UserRole
USER_ROLE_ORGANIZATION_ADMIN: UserRole
USER_ROLE_ORGANIZATION_USER: UserRole
USER_STATUS_UNSPECIFIED: UserStatus
USER_STATUS_INVITED: UserStatus
USER_STATUS_ACTIVE: UserStatus
USER_STATUS_SUSPENDED: UserStatus

class User(_message.Message):
    __slots__ = ("id", "tenant_id", "email", "display_name", "role", "status", "provenance", "cluster_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    tenant_id: str
    email: str
    display_name: str
    role: UserRole
    status: UserStatus
    provenance: _common_pb2.Provenance
    cluster_id: str
    def __init__(self, id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., email: _Optional[str] = ..., display_name: _Optional[str] = ..., role: _Optional[_Union[UserRole, str]] = ..., status: _Optional[_Union[UserStatus, str]] = ..., provenance: _Optional[_Union[_common_pb2.Provenance, _Mapping]] = ..., cluster_id: _Optional[str] = ...) -> None: ...
