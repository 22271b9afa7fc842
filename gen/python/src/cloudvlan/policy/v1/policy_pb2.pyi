from cloudvlan.entity.v1 import audit_log_pb2 as _audit_log_pb2
from cloudvlan.entity.v1 import common_pb2 as _common_pb2
from cloudvlan.entity.v1 import events_pb2 as _events_pb2
from cloudvlan.entity.v1 import policy_pb2 as _policy_pb2
from cloudvlan.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ApplyPolicyRequest(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "document", "base_version", "source")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    BASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    document: _policy_pb2.PolicyDocument
    base_version: int
    source: _policy_pb2.PolicySource
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., document: _Optional[_Union[_policy_pb2.PolicyDocument, _Mapping]] = ..., base_version: _Optional[int] = ..., source: _Optional[_Union[_policy_pb2.PolicySource, _Mapping]] = ...) -> None: ...

class ApplyPolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: _policy_pb2.Policy
    def __init__(self, policy: _Optional[_Union[_policy_pb2.Policy, _Mapping]] = ...) -> None: ...

class GetPolicyRequest(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ...) -> None: ...

class GetPolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: _policy_pb2.Policy
    def __init__(self, policy: _Optional[_Union[_policy_pb2.Policy, _Mapping]] = ...) -> None: ...

class WatchChangesRequest(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "since")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    since: int
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., since: _Optional[int] = ...) -> None: ...

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
