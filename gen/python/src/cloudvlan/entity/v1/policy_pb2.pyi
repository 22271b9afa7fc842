from cloudvlan.entity.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PolicyAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POLICY_ACTION_UNSPECIFIED: _ClassVar[PolicyAction]
    POLICY_ACTION_ALLOW: _ClassVar[PolicyAction]
    POLICY_ACTION_DENY: _ClassVar[PolicyAction]

class PolicyProtocol(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POLICY_PROTOCOL_UNSPECIFIED: _ClassVar[PolicyProtocol]
    POLICY_PROTOCOL_ANY: _ClassVar[PolicyProtocol]
    POLICY_PROTOCOL_TCP: _ClassVar[PolicyProtocol]
    POLICY_PROTOCOL_UDP: _ClassVar[PolicyProtocol]
    POLICY_PROTOCOL_ICMP: _ClassVar[PolicyProtocol]

class TunnelProtocol(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TUNNEL_PROTOCOL_UNSPECIFIED: _ClassVar[TunnelProtocol]
    TUNNEL_PROTOCOL_WIREGUARD: _ClassVar[TunnelProtocol]
    TUNNEL_PROTOCOL_IPSEC: _ClassVar[TunnelProtocol]
POLICY_ACTION_UNSPECIFIED: PolicyAction
POLICY_ACTION_ALLOW: PolicyAction
POLICY_ACTION_DENY: PolicyAction
POLICY_PROTOCOL_UNSPECIFIED: PolicyProtocol
POLICY_PROTOCOL_ANY: PolicyProtocol
POLICY_PROTOCOL_TCP: PolicyProtocol
POLICY_PROTOCOL_UDP: PolicyProtocol
POLICY_PROTOCOL_ICMP: PolicyProtocol
TUNNEL_PROTOCOL_UNSPECIFIED: TunnelProtocol
TUNNEL_PROTOCOL_WIREGUARD: TunnelProtocol
TUNNEL_PROTOCOL_IPSEC: TunnelProtocol

class Policy(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "version", "document", "provenance", "cluster_id", "source")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    version: int
    document: PolicyDocument
    provenance: _common_pb2.Provenance
    cluster_id: str
    source: PolicySource
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., version: _Optional[int] = ..., document: _Optional[_Union[PolicyDocument, _Mapping]] = ..., provenance: _Optional[_Union[_common_pb2.Provenance, _Mapping]] = ..., cluster_id: _Optional[str] = ..., source: _Optional[_Union[PolicySource, _Mapping]] = ...) -> None: ...

class PolicySource(_message.Message):
    __slots__ = ("file", "rule_lines")
    FILE_FIELD_NUMBER: _ClassVar[int]
    RULE_LINES_FIELD_NUMBER: _ClassVar[int]
    file: str
    rule_lines: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, file: _Optional[str] = ..., rule_lines: _Optional[_Iterable[int]] = ...) -> None: ...

class PolicyDocument(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[PolicyRule]
    def __init__(self, rules: _Optional[_Iterable[_Union[PolicyRule, _Mapping]]] = ...) -> None: ...

class PolicyRule(_message.Message):
    __slots__ = ("name", "action", "sources", "destinations", "protocol", "ports", "tunnel")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    DESTINATIONS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    TUNNEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    action: PolicyAction
    sources: _containers.RepeatedCompositeFieldContainer[PolicyTarget]
    destinations: _containers.RepeatedCompositeFieldContainer[PolicyTarget]
    protocol: PolicyProtocol
    ports: _containers.RepeatedCompositeFieldContainer[PortRange]
    tunnel: TunnelProtocol
    def __init__(self, name: _Optional[str] = ..., action: _Optional[_Union[PolicyAction, str]] = ..., sources: _Optional[_Iterable[_Union[PolicyTarget, _Mapping]]] = ..., destinations: _Optional[_Iterable[_Union[PolicyTarget, _Mapping]]] = ..., protocol: _Optional[_Union[PolicyProtocol, str]] = ..., ports: _Optional[_Iterable[_Union[PortRange, _Mapping]]] = ..., tunnel: _Optional[_Union[TunnelProtocol, str]] = ...) -> None: ...

class PolicyTarget(_message.Message):
    __slots__ = ("any", "group", "tag", "node", "cidr")
    ANY_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    CIDR_FIELD_NUMBER: _ClassVar[int]
    any: bool
    group: str
    tag: str
    node: str
    cidr: str
    def __init__(self, any: _Optional[bool] = ..., group: _Optional[str] = ..., tag: _Optional[str] = ..., node: _Optional[str] = ..., cidr: _Optional[str] = ...) -> None: ...

class PortRange(_message.Message):
    __slots__ = ("first", "last")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...
