import datetime

from cloudvlan.entity.v1 import api_key_pb2 as _api_key_pb2
from cloudvlan.entity.v1 import audit_log_pb2 as _audit_log_pb2
from cloudvlan.entity.v1 import certificate_pb2 as _certificate_pb2
from cloudvlan.entity.v1 import common_pb2 as _common_pb2
from cloudvlan.entity.v1 import events_pb2 as _events_pb2
from cloudvlan.entity.v1 import netmap_pb2 as _netmap_pb2
from cloudvlan.entity.v1 import tenant_pb2 as _tenant_pb2
from cloudvlan.options.v1 import options_pb2 as _options_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TenantKeys(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TENANT_KEYS_UNSPECIFIED: _ClassVar[TenantKeys]
    TENANT_KEYS_ROOT: _ClassVar[TenantKeys]
    TENANT_KEYS_ENROL: _ClassVar[TenantKeys]
    TENANT_KEYS_POLICY: _ClassVar[TenantKeys]
    TENANT_KEYS_MAP: _ClassVar[TenantKeys]

class KeyRotationStage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_ROTATION_STAGE_UNSPECIFIED: _ClassVar[KeyRotationStage]
    KEY_ROTATION_STAGE_REQUESTED: _ClassVar[KeyRotationStage]
    KEY_ROTATION_STAGE_SIGNING: _ClassVar[KeyRotationStage]
    KEY_ROTATION_STAGE_MAPPING: _ClassVar[KeyRotationStage]
    KEY_ROTATION_STAGE_DONE: _ClassVar[KeyRotationStage]
TENANT_KEYS_UNSPECIFIED: TenantKeys
TENANT_KEYS_ROOT: TenantKeys
TENANT_KEYS_ENROL: TenantKeys
TENANT_KEYS_POLICY: TenantKeys
TENANT_KEYS_MAP: TenantKeys
KEY_ROTATION_STAGE_UNSPECIFIED: KeyRotationStage
KEY_ROTATION_STAGE_REQUESTED: KeyRotationStage
KEY_ROTATION_STAGE_SIGNING: KeyRotationStage
KEY_ROTATION_STAGE_MAPPING: KeyRotationStage
KEY_ROTATION_STAGE_DONE: KeyRotationStage

class CreateTenantRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CreateTenantResponse(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: _tenant_pb2.Tenant
    def __init__(self, tenant: _Optional[_Union[_tenant_pb2.Tenant, _Mapping]] = ...) -> None: ...

class GetTenantRequest(_message.Message):
    __slots__ = ("tenant_id",)
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    def __init__(self, tenant_id: _Optional[str] = ...) -> None: ...

class GetTenantResponse(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: _tenant_pb2.Tenant
    def __init__(self, tenant: _Optional[_Union[_tenant_pb2.Tenant, _Mapping]] = ...) -> None: ...

class ListTenantsRequest(_message.Message):
    __slots__ = ("pagination", "show_deleted")
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    SHOW_DELETED_FIELD_NUMBER: _ClassVar[int]
    pagination: _common_pb2.Pagination
    show_deleted: bool
    def __init__(self, pagination: _Optional[_Union[_common_pb2.Pagination, _Mapping]] = ..., show_deleted: _Optional[bool] = ...) -> None: ...

class ListTenantsResponse(_message.Message):
    __slots__ = ("tenants", "meta")
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    tenants: _containers.RepeatedCompositeFieldContainer[_tenant_pb2.Tenant]
    meta: _common_pb2.ListMeta
    def __init__(self, tenants: _Optional[_Iterable[_Union[_tenant_pb2.Tenant, _Mapping]]] = ..., meta: _Optional[_Union[_common_pb2.ListMeta, _Mapping]] = ...) -> None: ...

class UpdateTenantRequest(_message.Message):
    __slots__ = ("tenant_id", "name", "status", "base_revision")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    BASE_REVISION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    name: str
    status: _common_pb2.Status
    base_revision: int
    def __init__(self, tenant_id: _Optional[str] = ..., name: _Optional[str] = ..., status: _Optional[_Union[_common_pb2.Status, str]] = ..., base_revision: _Optional[int] = ...) -> None: ...

class UpdateTenantResponse(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: _tenant_pb2.Tenant
    def __init__(self, tenant: _Optional[_Union[_tenant_pb2.Tenant, _Mapping]] = ...) -> None: ...

class DeleteTenantRequest(_message.Message):
    __slots__ = ("tenant_id", "base_revision")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    BASE_REVISION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    base_revision: int
    def __init__(self, tenant_id: _Optional[str] = ..., base_revision: _Optional[int] = ...) -> None: ...

class DeleteTenantResponse(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: _tenant_pb2.Tenant
    def __init__(self, tenant: _Optional[_Union[_tenant_pb2.Tenant, _Mapping]] = ...) -> None: ...

class KeyRotation(_message.Message):
    __slots__ = ("tenant_id", "role", "stage", "former_key_ids", "key_id", "left", "started_at", "updated_at", "started_by")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    FORMER_KEY_IDS_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_BY_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    role: _netmap_pb2.KeyRole
    stage: KeyRotationStage
    former_key_ids: _containers.RepeatedScalarFieldContainer[str]
    key_id: str
    left: int
    started_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    started_by: str
    def __init__(self, tenant_id: _Optional[str] = ..., role: _Optional[_Union[_netmap_pb2.KeyRole, str]] = ..., stage: _Optional[_Union[KeyRotationStage, str]] = ..., former_key_ids: _Optional[_Iterable[str]] = ..., key_id: _Optional[str] = ..., left: _Optional[int] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_by: _Optional[str] = ...) -> None: ...

class RotateTenantKeysRequest(_message.Message):
    __slots__ = ("tenant_id", "which")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    WHICH_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    which: TenantKeys
    def __init__(self, tenant_id: _Optional[str] = ..., which: _Optional[_Union[TenantKeys, str]] = ...) -> None: ...

class RotateTenantKeysResponse(_message.Message):
    __slots__ = ("tenant", "keyset_version", "rotation")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    KEYSET_VERSION_FIELD_NUMBER: _ClassVar[int]
    ROTATION_FIELD_NUMBER: _ClassVar[int]
    tenant: _tenant_pb2.Tenant
    keyset_version: int
    rotation: KeyRotation
    def __init__(self, tenant: _Optional[_Union[_tenant_pb2.Tenant, _Mapping]] = ..., keyset_version: _Optional[int] = ..., rotation: _Optional[_Union[KeyRotation, _Mapping]] = ...) -> None: ...

class ListKeyRotationsRequest(_message.Message):
    __slots__ = ("tenant_id",)
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    def __init__(self, tenant_id: _Optional[str] = ...) -> None: ...

class ListKeyRotationsResponse(_message.Message):
    __slots__ = ("rotations",)
    ROTATIONS_FIELD_NUMBER: _ClassVar[int]
    rotations: _containers.RepeatedCompositeFieldContainer[KeyRotation]
    def __init__(self, rotations: _Optional[_Iterable[_Union[KeyRotation, _Mapping]]] = ...) -> None: ...

class ListUnfinishedKeyRotationsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListUnfinishedKeyRotationsResponse(_message.Message):
    __slots__ = ("rotations",)
    ROTATIONS_FIELD_NUMBER: _ClassVar[int]
    rotations: _containers.RepeatedCompositeFieldContainer[KeyRotation]
    def __init__(self, rotations: _Optional[_Iterable[_Union[KeyRotation, _Mapping]]] = ...) -> None: ...

class ReportKeyRotationRequest(_message.Message):
    __slots__ = ("tenant_id", "role", "key_id", "stage", "left")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    role: _netmap_pb2.KeyRole
    key_id: str
    stage: KeyRotationStage
    left: int
    def __init__(self, tenant_id: _Optional[str] = ..., role: _Optional[_Union[_netmap_pb2.KeyRole, str]] = ..., key_id: _Optional[str] = ..., stage: _Optional[_Union[KeyRotationStage, str]] = ..., left: _Optional[int] = ...) -> None: ...

class ReportKeyRotationResponse(_message.Message):
    __slots__ = ("rotation",)
    ROTATION_FIELD_NUMBER: _ClassVar[int]
    rotation: KeyRotation
    def __init__(self, rotation: _Optional[_Union[KeyRotation, _Mapping]] = ...) -> None: ...

class CreateApiKeyRequest(_message.Message):
    __slots__ = ("tenant_id", "name", "scope", "ttl_seconds")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    name: str
    scope: _api_key_pb2.ApiScope
    ttl_seconds: int
    def __init__(self, tenant_id: _Optional[str] = ..., name: _Optional[str] = ..., scope: _Optional[_Union[_api_key_pb2.ApiScope, _Mapping]] = ..., ttl_seconds: _Optional[int] = ...) -> None: ...

class CreateApiKeyResponse(_message.Message):
    __slots__ = ("api_key", "secret")
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    api_key: _api_key_pb2.ApiKey
    secret: str
    def __init__(self, api_key: _Optional[_Union[_api_key_pb2.ApiKey, _Mapping]] = ..., secret: _Optional[str] = ...) -> None: ...

class GetApiKeyRequest(_message.Message):
    __slots__ = ("tenant_id", "api_key_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    API_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    api_key_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., api_key_id: _Optional[str] = ...) -> None: ...

class GetApiKeyResponse(_message.Message):
    __slots__ = ("api_key",)
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    api_key: _api_key_pb2.ApiKey
    def __init__(self, api_key: _Optional[_Union[_api_key_pb2.ApiKey, _Mapping]] = ...) -> None: ...

class ListApiKeysRequest(_message.Message):
    __slots__ = ("tenant_id", "pagination")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    pagination: _common_pb2.Pagination
    def __init__(self, tenant_id: _Optional[str] = ..., pagination: _Optional[_Union[_common_pb2.Pagination, _Mapping]] = ...) -> None: ...

class ListApiKeysResponse(_message.Message):
    __slots__ = ("api_keys", "meta")
    API_KEYS_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    api_keys: _containers.RepeatedCompositeFieldContainer[_api_key_pb2.ApiKey]
    meta: _common_pb2.ListMeta
    def __init__(self, api_keys: _Optional[_Iterable[_Union[_api_key_pb2.ApiKey, _Mapping]]] = ..., meta: _Optional[_Union[_common_pb2.ListMeta, _Mapping]] = ...) -> None: ...

class RevokeApiKeyRequest(_message.Message):
    __slots__ = ("tenant_id", "api_key_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    API_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    api_key_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., api_key_id: _Optional[str] = ...) -> None: ...

class RevokeApiKeyResponse(_message.Message):
    __slots__ = ("api_key",)
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    api_key: _api_key_pb2.ApiKey
    def __init__(self, api_key: _Optional[_Union[_api_key_pb2.ApiKey, _Mapping]] = ...) -> None: ...

class WhoAmIRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WhoAmIResponse(_message.Message):
    __slots__ = ("subject", "tenant_id", "tenant_name", "permissions")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_NAME_FIELD_NUMBER: _ClassVar[int]
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    subject: str
    tenant_id: str
    tenant_name: str
    permissions: _containers.RepeatedScalarFieldContainer[_options_pb2.Permission]
    def __init__(self, subject: _Optional[str] = ..., tenant_id: _Optional[str] = ..., tenant_name: _Optional[str] = ..., permissions: _Optional[_Iterable[_Union[_options_pb2.Permission, str]]] = ...) -> None: ...

class GetTrustBundleRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetTrustBundleResponse(_message.Message):
    __slots__ = ("bundle",)
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    bundle: _certificate_pb2.TrustBundle
    def __init__(self, bundle: _Optional[_Union[_certificate_pb2.TrustBundle, _Mapping]] = ...) -> None: ...

class RenewCertificateRequest(_message.Message):
    __slots__ = ("csr",)
    CSR_FIELD_NUMBER: _ClassVar[int]
    csr: bytes
    def __init__(self, csr: _Optional[bytes] = ...) -> None: ...

class RenewCertificateResponse(_message.Message):
    __slots__ = ("certificate", "bundle")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    certificate: _certificate_pb2.Certificate
    bundle: _certificate_pb2.TrustBundle
    def __init__(self, certificate: _Optional[_Union[_certificate_pb2.Certificate, _Mapping]] = ..., bundle: _Optional[_Union[_certificate_pb2.TrustBundle, _Mapping]] = ...) -> None: ...

class MintCertificateRequest(_message.Message):
    __slots__ = ("tenant_id", "node_id", "csr")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    node_id: str
    csr: bytes
    def __init__(self, tenant_id: _Optional[str] = ..., node_id: _Optional[str] = ..., csr: _Optional[bytes] = ...) -> None: ...

class MintCertificateResponse(_message.Message):
    __slots__ = ("certificate", "bundle")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    certificate: _certificate_pb2.Certificate
    bundle: _certificate_pb2.TrustBundle
    def __init__(self, certificate: _Optional[_Union[_certificate_pb2.Certificate, _Mapping]] = ..., bundle: _Optional[_Union[_certificate_pb2.TrustBundle, _Mapping]] = ...) -> None: ...

class CallContext(_message.Message):
    __slots__ = ("subject", "tenant_id", "permissions", "request_id", "issued_at", "expires_at")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    subject: str
    tenant_id: str
    permissions: _containers.RepeatedScalarFieldContainer[_options_pb2.Permission]
    request_id: str
    issued_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, subject: _Optional[str] = ..., tenant_id: _Optional[str] = ..., permissions: _Optional[_Iterable[_Union[_options_pb2.Permission, str]]] = ..., request_id: _Optional[str] = ..., issued_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AuthenticateRequest(_message.Message):
    __slots__ = ("api_key", "request_id")
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    api_key: str
    request_id: str
    def __init__(self, api_key: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class AuthenticateResponse(_message.Message):
    __slots__ = ("context",)
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    context: _netmap_pb2.Signed
    def __init__(self, context: _Optional[_Union[_netmap_pb2.Signed, _Mapping]] = ...) -> None: ...

class GetContextKeysRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetContextKeysResponse(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[ContextKey]
    def __init__(self, keys: _Optional[_Iterable[_Union[ContextKey, _Mapping]]] = ...) -> None: ...

class ContextKey(_message.Message):
    __slots__ = ("key_id", "public_key")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    public_key: bytes
    def __init__(self, key_id: _Optional[str] = ..., public_key: _Optional[bytes] = ...) -> None: ...

class DelegateKeyRequest(_message.Message):
    __slots__ = ("tenant_id", "role", "public_key")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    role: _netmap_pb2.KeyRole
    public_key: bytes
    def __init__(self, tenant_id: _Optional[str] = ..., role: _Optional[_Union[_netmap_pb2.KeyRole, str]] = ..., public_key: _Optional[bytes] = ...) -> None: ...

class DelegateKeyResponse(_message.Message):
    __slots__ = ("key_id", "keyset", "root_public_key")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    KEYSET_FIELD_NUMBER: _ClassVar[int]
    ROOT_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    keyset: _netmap_pb2.Signed
    root_public_key: bytes
    def __init__(self, key_id: _Optional[str] = ..., keyset: _Optional[_Union[_netmap_pb2.Signed, _Mapping]] = ..., root_public_key: _Optional[bytes] = ...) -> None: ...

class GetKeysetRequest(_message.Message):
    __slots__ = ("tenant_id",)
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    def __init__(self, tenant_id: _Optional[str] = ...) -> None: ...

class GetKeysetResponse(_message.Message):
    __slots__ = ("keyset", "root_public_key", "root_transitions")
    KEYSET_FIELD_NUMBER: _ClassVar[int]
    ROOT_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    ROOT_TRANSITIONS_FIELD_NUMBER: _ClassVar[int]
    keyset: _netmap_pb2.Signed
    root_public_key: bytes
    root_transitions: _containers.RepeatedCompositeFieldContainer[_netmap_pb2.Signed]
    def __init__(self, keyset: _Optional[_Union[_netmap_pb2.Signed, _Mapping]] = ..., root_public_key: _Optional[bytes] = ..., root_transitions: _Optional[_Iterable[_Union[_netmap_pb2.Signed, _Mapping]]] = ...) -> None: ...

class DenyRequest(_message.Message):
    __slots__ = ("tenant_id", "node_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    node_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., node_id: _Optional[str] = ...) -> None: ...

class DenyResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class WatchChangesRequest(_message.Message):
    __slots__ = ("since",)
    SINCE_FIELD_NUMBER: _ClassVar[int]
    since: int
    def __init__(self, since: _Optional[int] = ...) -> None: ...

class WatchChangesResponse(_message.Message):
    __slots__ = ("changes", "revision")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[_events_pb2.Change]
    revision: int
    def __init__(self, changes: _Optional[_Iterable[_Union[_events_pb2.Change, _Mapping]]] = ..., revision: _Optional[int] = ...) -> None: ...

class ListAuditLogsRequest(_message.Message):
    __slots__ = ("tenant_id", "filter", "pagination")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    filter: _audit_log_pb2.AuditFilter
    pagination: _common_pb2.Pagination
    def __init__(self, tenant_id: _Optional[str] = ..., filter: _Optional[_Union[_audit_log_pb2.AuditFilter, _Mapping]] = ..., pagination: _Optional[_Union[_common_pb2.Pagination, _Mapping]] = ...) -> None: ...

class ListAuditLogsResponse(_message.Message):
    __slots__ = ("audit_logs", "meta")
    AUDIT_LOGS_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    audit_logs: _containers.RepeatedCompositeFieldContainer[_audit_log_pb2.AuditLog]
    meta: _common_pb2.ListMeta
    def __init__(self, audit_logs: _Optional[_Iterable[_Union[_audit_log_pb2.AuditLog, _Mapping]]] = ..., meta: _Optional[_Union[_common_pb2.ListMeta, _Mapping]] = ...) -> None: ...
