from cloudvlan.entity.v1 import common_pb2 as _common_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Cvlan(_message.Message):
    __slots__ = ("id", "tenant_id", "name", "ipv4_pool", "ipv6_prefix", "status", "provenance", "cluster_id", "dns_domain")
    ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IPV4_POOL_FIELD_NUMBER: _ClassVar[int]
    IPV6_PREFIX_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    DNS_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    id: str
    tenant_id: str
    name: str
    ipv4_pool: str
    ipv6_prefix: str
    status: _common_pb2.Status
    provenance: _common_pb2.Provenance
    cluster_id: str
    dns_domain: str
    def __init__(self, id: _Optional[str] = ..., tenant_id: _Optional[str] = ..., name: _Optional[str] = ..., ipv4_pool: _Optional[str] = ..., ipv6_prefix: _Optional[str] = ..., status: _Optional[_Union[_common_pb2.Status, str]] = ..., provenance: _Optional[_Union[_common_pb2.Provenance, _Mapping]] = ..., cluster_id: _Optional[str] = ..., dns_domain: _Optional[str] = ...) -> None: ...

class CvlanStats(_message.Message):
    __slots__ = ("nodes", "ipv4_addresses")
    NODES_FIELD_NUMBER: _ClassVar[int]
    IPV4_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    nodes: int
    ipv4_addresses: _common_pb2.Capacity
    def __init__(self, nodes: _Optional[int] = ..., ipv4_addresses: _Optional[_Union[_common_pb2.Capacity, _Mapping]] = ...) -> None: ...
