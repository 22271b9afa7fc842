from cloudvlan.entity.v1 import audit_log_pb2 as _audit_log_pb2
from cloudvlan.entity.v1 import certificate_pb2 as _certificate_pb2
from cloudvlan.entity.v1 import common_pb2 as _common_pb2
from cloudvlan.entity.v1 import cvlan_pb2 as _cvlan_pb2
from cloudvlan.entity.v1 import discovery_server_pb2 as _discovery_server_pb2
from cloudvlan.entity.v1 import enrollment_pb2 as _enrollment_pb2
from cloudvlan.entity.v1 import events_pb2 as _events_pb2
from cloudvlan.entity.v1 import group_pb2 as _group_pb2
from cloudvlan.entity.v1 import netmap_pb2 as _netmap_pb2
from cloudvlan.entity.v1 import node_pb2 as _node_pb2
from cloudvlan.entity.v1 import policy_pb2 as _policy_pb2
from cloudvlan.entity.v1 import region_pb2 as _region_pb2
from cloudvlan.entity.v1 import settings_pb2 as _settings_pb2
from cloudvlan.entity.v1 import tag_pb2 as _tag_pb2
from cloudvlan.entity.v1 import tenant_pb2 as _tenant_pb2
from cloudvlan.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateCvlanRequest(_message.Message):
    __slots__ = ("tenant_id", "name", "ipv4_pool", "dns_domain")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IPV4_POOL_FIELD_NUMBER: _ClassVar[int]
    DNS_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    name: str
    ipv4_pool: str
    dns_domain: str
    def __init__(self, tenant_id: _Optional[str] = ..., name: _Optional[str] = ..., ipv4_pool: _Optional[str] = ..., dns_domain: _Optional[str] = ...) -> None: ...

class CreateCvlanResponse(_message.Message):
    __slots__ = ("cvlan",)
    CVLAN_FIELD_NUMBER: _ClassVar[int]
    cvlan: _cvlan_pb2.Cvlan
    def __init__(self, cvlan: _Optional[_Union[_cvlan_pb2.Cvlan, _Mapping]] = ...) -> None: ...

class GetCvlanRequest(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ...) -> None: ...

class GetCvlanResponse(_message.Message):
    __slots__ = ("cvlan", "stats")
    CVLAN_FIELD_NUMBER: _ClassVar[int]
    STATS_FIELD_NUMBER: _ClassVar[int]
    cvlan: _cvlan_pb2.Cvlan
    stats: _cvlan_pb2.CvlanStats
    def __init__(self, cvlan: _Optional[_Union[_cvlan_pb2.Cvlan, _Mapping]] = ..., stats: _Optional[_Union[_cvlan_pb2.CvlanStats, _Mapping]] = ...) -> None: ...

class ListCvlansRequest(_message.Message):
    __slots__ = ("tenant_id", "pagination")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    pagination: _common_pb2.Pagination
    def __init__(self, tenant_id: _Optional[str] = ..., pagination: _Optional[_Union[_common_pb2.Pagination, _Mapping]] = ...) -> None: ...

class ListCvlansResponse(_message.Message):
    __slots__ = ("cvlans", "meta")
    CVLANS_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    cvlans: _containers.RepeatedCompositeFieldContainer[_cvlan_pb2.Cvlan]
    meta: _common_pb2.ListMeta
    def __init__(self, cvlans: _Optional[_Iterable[_Union[_cvlan_pb2.Cvlan, _Mapping]]] = ..., meta: _Optional[_Union[_common_pb2.ListMeta, _Mapping]] = ...) -> None: ...

class UpdateCvlanRequest(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "name", "dns_domain")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DNS_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    name: str
    dns_domain: str
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., name: _Optional[str] = ..., dns_domain: _Optional[str] = ...) -> None: ...

class UpdateCvlanResponse(_message.Message):
    __slots__ = ("cvlan",)
    CVLAN_FIELD_NUMBER: _ClassVar[int]
    cvlan: _cvlan_pb2.Cvlan
    def __init__(self, cvlan: _Optional[_Union[_cvlan_pb2.Cvlan, _Mapping]] = ...) -> None: ...

class DeleteCvlanRequest(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ...) -> None: ...

class DeleteCvlanResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetTenantStatsRequest(_message.Message):
    __slots__ = ("tenant_id",)
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    def __init__(self, tenant_id: _Optional[str] = ...) -> None: ...

class GetTenantStatsResponse(_message.Message):
    __slots__ = ("stats",)
    STATS_FIELD_NUMBER: _ClassVar[int]
    stats: _tenant_pb2.TenantStats
    def __init__(self, stats: _Optional[_Union[_tenant_pb2.TenantStats, _Mapping]] = ...) -> None: ...

class GetNodeRequest(_message.Message):
    __slots__ = ("tenant_id", "node_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    node_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., node_id: _Optional[str] = ...) -> None: ...

class GetNodeResponse(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: _node_pb2.Node
    def __init__(self, node: _Optional[_Union[_node_pb2.Node, _Mapping]] = ...) -> None: ...

class ListNodesRequest(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "pagination", "name")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    pagination: _common_pb2.Pagination
    name: str
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., pagination: _Optional[_Union[_common_pb2.Pagination, _Mapping]] = ..., name: _Optional[str] = ...) -> None: ...

class ListNodesResponse(_message.Message):
    __slots__ = ("nodes", "meta")
    NODES_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[_node_pb2.Node]
    meta: _common_pb2.ListMeta
    def __init__(self, nodes: _Optional[_Iterable[_Union[_node_pb2.Node, _Mapping]]] = ..., meta: _Optional[_Union[_common_pb2.ListMeta, _Mapping]] = ...) -> None: ...

class UpdateNodeRequest(_message.Message):
    __slots__ = ("tenant_id", "node_id", "name", "tags", "routes")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    node_id: str
    name: str
    tags: TagSet
    routes: RouteSet
    def __init__(self, tenant_id: _Optional[str] = ..., node_id: _Optional[str] = ..., name: _Optional[str] = ..., tags: _Optional[_Union[TagSet, _Mapping]] = ..., routes: _Optional[_Union[RouteSet, _Mapping]] = ...) -> None: ...

class TagSet(_message.Message):
    __slots__ = ("tags",)
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TAGS_FIELD_NUMBER: _ClassVar[int]
    tags: _containers.ScalarMap[str, str]
    def __init__(self, tags: _Optional[_Mapping[str, str]] = ...) -> None: ...

class RouteSet(_message.Message):
    __slots__ = ("routes",)
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    routes: _containers.RepeatedCompositeFieldContainer[_node_pb2.NodeRoute]
    def __init__(self, routes: _Optional[_Iterable[_Union[_node_pb2.NodeRoute, _Mapping]]] = ...) -> None: ...

class UpdateNodeResponse(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: _node_pb2.Node
    def __init__(self, node: _Optional[_Union[_node_pb2.Node, _Mapping]] = ...) -> None: ...

class RevokeNodeRequest(_message.Message):
    __slots__ = ("tenant_id", "node_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    node_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., node_id: _Optional[str] = ...) -> None: ...

class RevokeNodeResponse(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: _node_pb2.Node
    def __init__(self, node: _Optional[_Union[_node_pb2.Node, _Mapping]] = ...) -> None: ...

class CreateGroupRequest(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "name")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    name: str
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class CreateGroupResponse(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: _group_pb2.Group
    def __init__(self, group: _Optional[_Union[_group_pb2.Group, _Mapping]] = ...) -> None: ...

class ListGroupsRequest(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "pagination")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    pagination: _common_pb2.Pagination
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., pagination: _Optional[_Union[_common_pb2.Pagination, _Mapping]] = ...) -> None: ...

class ListGroupsResponse(_message.Message):
    __slots__ = ("groups", "meta")
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[_group_pb2.GroupWithCount]
    meta: _common_pb2.ListMeta
    def __init__(self, groups: _Optional[_Iterable[_Union[_group_pb2.GroupWithCount, _Mapping]]] = ..., meta: _Optional[_Union[_common_pb2.ListMeta, _Mapping]] = ...) -> None: ...

class GetGroupRequest(_message.Message):
    __slots__ = ("tenant_id", "group_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    group_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., group_id: _Optional[str] = ...) -> None: ...

class GetGroupResponse(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: _group_pb2.GroupWithCount
    def __init__(self, group: _Optional[_Union[_group_pb2.GroupWithCount, _Mapping]] = ...) -> None: ...

class UpdateGroupRequest(_message.Message):
    __slots__ = ("tenant_id", "group_id", "name")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    group_id: str
    name: str
    def __init__(self, tenant_id: _Optional[str] = ..., group_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class UpdateGroupResponse(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: _group_pb2.Group
    def __init__(self, group: _Optional[_Union[_group_pb2.Group, _Mapping]] = ...) -> None: ...

class ListGroupMembersRequest(_message.Message):
    __slots__ = ("tenant_id", "group_id", "pagination")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    group_id: str
    pagination: _common_pb2.Pagination
    def __init__(self, tenant_id: _Optional[str] = ..., group_id: _Optional[str] = ..., pagination: _Optional[_Union[_common_pb2.Pagination, _Mapping]] = ...) -> None: ...

class ListGroupMembersResponse(_message.Message):
    __slots__ = ("members", "meta")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[_group_pb2.GroupMember]
    meta: _common_pb2.ListMeta
    def __init__(self, members: _Optional[_Iterable[_Union[_group_pb2.GroupMember, _Mapping]]] = ..., meta: _Optional[_Union[_common_pb2.ListMeta, _Mapping]] = ...) -> None: ...

class DeleteGroupRequest(_message.Message):
    __slots__ = ("tenant_id", "group_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    group_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., group_id: _Optional[str] = ...) -> None: ...

class DeleteGroupResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AddGroupMemberRequest(_message.Message):
    __slots__ = ("tenant_id", "group_id", "node_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    group_id: str
    node_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., group_id: _Optional[str] = ..., node_id: _Optional[str] = ...) -> None: ...

class AddGroupMemberResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RemoveGroupMemberRequest(_message.Message):
    __slots__ = ("tenant_id", "group_id", "node_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    group_id: str
    node_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., group_id: _Optional[str] = ..., node_id: _Optional[str] = ...) -> None: ...

class RemoveGroupMemberResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTagsRequest(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ...) -> None: ...

class ListTagsResponse(_message.Message):
    __slots__ = ("tags",)
    TAGS_FIELD_NUMBER: _ClassVar[int]
    tags: _containers.RepeatedCompositeFieldContainer[_tag_pb2.TagSummary]
    def __init__(self, tags: _Optional[_Iterable[_Union[_tag_pb2.TagSummary, _Mapping]]] = ...) -> None: ...

class CreateRegionRequest(_message.Message):
    __slots__ = ("name", "display_name")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ...) -> None: ...

class CreateRegionResponse(_message.Message):
    __slots__ = ("region",)
    REGION_FIELD_NUMBER: _ClassVar[int]
    region: _region_pb2.Region
    def __init__(self, region: _Optional[_Union[_region_pb2.Region, _Mapping]] = ...) -> None: ...

class ListRegionsRequest(_message.Message):
    __slots__ = ("pagination",)
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    pagination: _common_pb2.Pagination
    def __init__(self, pagination: _Optional[_Union[_common_pb2.Pagination, _Mapping]] = ...) -> None: ...

class ListRegionsResponse(_message.Message):
    __slots__ = ("regions", "meta")
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    regions: _containers.RepeatedCompositeFieldContainer[_region_pb2.Region]
    meta: _common_pb2.ListMeta
    def __init__(self, regions: _Optional[_Iterable[_Union[_region_pb2.Region, _Mapping]]] = ..., meta: _Optional[_Union[_common_pb2.ListMeta, _Mapping]] = ...) -> None: ...

class GetRegionRequest(_message.Message):
    __slots__ = ("region_id",)
    REGION_ID_FIELD_NUMBER: _ClassVar[int]
    region_id: str
    def __init__(self, region_id: _Optional[str] = ...) -> None: ...

class GetRegionResponse(_message.Message):
    __slots__ = ("region",)
    REGION_FIELD_NUMBER: _ClassVar[int]
    region: _region_pb2.Region
    def __init__(self, region: _Optional[_Union[_region_pb2.Region, _Mapping]] = ...) -> None: ...

class UpdateRegionRequest(_message.Message):
    __slots__ = ("region_id", "name", "display_name")
    REGION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    region_id: str
    name: str
    display_name: str
    def __init__(self, region_id: _Optional[str] = ..., name: _Optional[str] = ..., display_name: _Optional[str] = ...) -> None: ...

class UpdateRegionResponse(_message.Message):
    __slots__ = ("region",)
    REGION_FIELD_NUMBER: _ClassVar[int]
    region: _region_pb2.Region
    def __init__(self, region: _Optional[_Union[_region_pb2.Region, _Mapping]] = ...) -> None: ...

class DeleteRegionRequest(_message.Message):
    __slots__ = ("region_id",)
    REGION_ID_FIELD_NUMBER: _ClassVar[int]
    region_id: str
    def __init__(self, region_id: _Optional[str] = ...) -> None: ...

class DeleteRegionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateDiscoveryServerRequest(_message.Message):
    __slots__ = ("name", "region_id", "endpoints")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REGION_ID_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    region_id: str
    endpoints: _containers.RepeatedCompositeFieldContainer[_discovery_server_pb2.DiscoveryEndpoint]
    def __init__(self, name: _Optional[str] = ..., region_id: _Optional[str] = ..., endpoints: _Optional[_Iterable[_Union[_discovery_server_pb2.DiscoveryEndpoint, _Mapping]]] = ...) -> None: ...

class CreateDiscoveryServerResponse(_message.Message):
    __slots__ = ("discovery_server",)
    DISCOVERY_SERVER_FIELD_NUMBER: _ClassVar[int]
    discovery_server: _discovery_server_pb2.DiscoveryServer
    def __init__(self, discovery_server: _Optional[_Union[_discovery_server_pb2.DiscoveryServer, _Mapping]] = ...) -> None: ...

class GetDiscoveryServerRequest(_message.Message):
    __slots__ = ("discovery_server_id",)
    DISCOVERY_SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    discovery_server_id: str
    def __init__(self, discovery_server_id: _Optional[str] = ...) -> None: ...

class GetDiscoveryServerResponse(_message.Message):
    __slots__ = ("discovery_server",)
    DISCOVERY_SERVER_FIELD_NUMBER: _ClassVar[int]
    discovery_server: _discovery_server_pb2.DiscoveryServer
    def __init__(self, discovery_server: _Optional[_Union[_discovery_server_pb2.DiscoveryServer, _Mapping]] = ...) -> None: ...

class ListDiscoveryServersRequest(_message.Message):
    __slots__ = ("pagination",)
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    pagination: _common_pb2.Pagination
    def __init__(self, pagination: _Optional[_Union[_common_pb2.Pagination, _Mapping]] = ...) -> None: ...

class ListDiscoveryServersResponse(_message.Message):
    __slots__ = ("discovery_servers", "meta")
    DISCOVERY_SERVERS_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    discovery_servers: _containers.RepeatedCompositeFieldContainer[_discovery_server_pb2.DiscoveryServer]
    meta: _common_pb2.ListMeta
    def __init__(self, discovery_servers: _Optional[_Iterable[_Union[_discovery_server_pb2.DiscoveryServer, _Mapping]]] = ..., meta: _Optional[_Union[_common_pb2.ListMeta, _Mapping]] = ...) -> None: ...

class UpdateDiscoveryServerRequest(_message.Message):
    __slots__ = ("discovery_server_id", "name", "region_id", "endpoints")
    DISCOVERY_SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REGION_ID_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    discovery_server_id: str
    name: str
    region_id: str
    endpoints: _containers.RepeatedCompositeFieldContainer[_discovery_server_pb2.DiscoveryEndpoint]
    def __init__(self, discovery_server_id: _Optional[str] = ..., name: _Optional[str] = ..., region_id: _Optional[str] = ..., endpoints: _Optional[_Iterable[_Union[_discovery_server_pb2.DiscoveryEndpoint, _Mapping]]] = ...) -> None: ...

class UpdateDiscoveryServerResponse(_message.Message):
    __slots__ = ("discovery_server",)
    DISCOVERY_SERVER_FIELD_NUMBER: _ClassVar[int]
    discovery_server: _discovery_server_pb2.DiscoveryServer
    def __init__(self, discovery_server: _Optional[_Union[_discovery_server_pb2.DiscoveryServer, _Mapping]] = ...) -> None: ...

class DeleteDiscoveryServerRequest(_message.Message):
    __slots__ = ("discovery_server_id",)
    DISCOVERY_SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    discovery_server_id: str
    def __init__(self, discovery_server_id: _Optional[str] = ...) -> None: ...

class DeleteDiscoveryServerResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateJoinTokenRequest(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "ttl_seconds", "tags", "group_ids", "node_kind")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    GROUP_IDS_FIELD_NUMBER: _ClassVar[int]
    NODE_KIND_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    ttl_seconds: int
    tags: TagSet
    group_ids: _containers.RepeatedScalarFieldContainer[str]
    node_kind: _node_pb2.NodeKind
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., ttl_seconds: _Optional[int] = ..., tags: _Optional[_Union[TagSet, _Mapping]] = ..., group_ids: _Optional[_Iterable[str]] = ..., node_kind: _Optional[_Union[_node_pb2.NodeKind, str]] = ...) -> None: ...

class CreateJoinTokenResponse(_message.Message):
    __slots__ = ("token", "join_string")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    JOIN_STRING_FIELD_NUMBER: _ClassVar[int]
    token: _enrollment_pb2.JoinToken
    join_string: str
    def __init__(self, token: _Optional[_Union[_enrollment_pb2.JoinToken, _Mapping]] = ..., join_string: _Optional[str] = ...) -> None: ...

class GetJoinTokenRequest(_message.Message):
    __slots__ = ("tenant_id", "token_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    token_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., token_id: _Optional[str] = ...) -> None: ...

class GetJoinTokenResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: _enrollment_pb2.JoinToken
    def __init__(self, token: _Optional[_Union[_enrollment_pb2.JoinToken, _Mapping]] = ...) -> None: ...

class ListJoinTokensRequest(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "pagination")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    pagination: _common_pb2.Pagination
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., pagination: _Optional[_Union[_common_pb2.Pagination, _Mapping]] = ...) -> None: ...

class ListJoinTokensResponse(_message.Message):
    __slots__ = ("tokens", "meta")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[_enrollment_pb2.JoinToken]
    meta: _common_pb2.ListMeta
    def __init__(self, tokens: _Optional[_Iterable[_Union[_enrollment_pb2.JoinToken, _Mapping]]] = ..., meta: _Optional[_Union[_common_pb2.ListMeta, _Mapping]] = ...) -> None: ...

class RevokeJoinTokenRequest(_message.Message):
    __slots__ = ("tenant_id", "token_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    token_id: str
    def __init__(self, tenant_id: _Optional[str] = ..., token_id: _Optional[str] = ...) -> None: ...

class RevokeJoinTokenResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: _enrollment_pb2.JoinToken
    def __init__(self, token: _Optional[_Union[_enrollment_pb2.JoinToken, _Mapping]] = ...) -> None: ...

class GetSettingsRequest(_message.Message):
    __slots__ = ("layer", "tenant_id", "cvlan_id")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    layer: _settings_pb2.SettingsLayer
    tenant_id: str
    cvlan_id: str
    def __init__(self, layer: _Optional[_Union[_settings_pb2.SettingsLayer, str]] = ..., tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ...) -> None: ...

class GetSettingsResponse(_message.Message):
    __slots__ = ("own", "effective")
    OWN_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_FIELD_NUMBER: _ClassVar[int]
    own: _settings_pb2.LayerSettings
    effective: _settings_pb2.EffectiveSettings
    def __init__(self, own: _Optional[_Union[_settings_pb2.LayerSettings, _Mapping]] = ..., effective: _Optional[_Union[_settings_pb2.EffectiveSettings, _Mapping]] = ...) -> None: ...

class UpdateSettingsRequest(_message.Message):
    __slots__ = ("layer", "tenant_id", "cvlan_id", "settings", "base_revision")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    BASE_REVISION_FIELD_NUMBER: _ClassVar[int]
    layer: _settings_pb2.SettingsLayer
    tenant_id: str
    cvlan_id: str
    settings: _settings_pb2.Settings
    base_revision: int
    def __init__(self, layer: _Optional[_Union[_settings_pb2.SettingsLayer, str]] = ..., tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., settings: _Optional[_Union[_settings_pb2.Settings, _Mapping]] = ..., base_revision: _Optional[int] = ...) -> None: ...

class UpdateSettingsResponse(_message.Message):
    __slots__ = ("own", "effective")
    OWN_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_FIELD_NUMBER: _ClassVar[int]
    own: _settings_pb2.LayerSettings
    effective: _settings_pb2.EffectiveSettings
    def __init__(self, own: _Optional[_Union[_settings_pb2.LayerSettings, _Mapping]] = ..., effective: _Optional[_Union[_settings_pb2.EffectiveSettings, _Mapping]] = ...) -> None: ...

class BeginJoinRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BeginJoinResponse(_message.Message):
    __slots__ = ("server_public_key", "challenge")
    SERVER_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    server_public_key: bytes
    challenge: bytes
    def __init__(self, server_public_key: _Optional[bytes] = ..., challenge: _Optional[bytes] = ...) -> None: ...

class JoinRequest(_message.Message):
    __slots__ = ("tenant_id", "token_id", "secret", "challenge", "csr", "wireguard_public_key", "wireguard_proof", "control_public_key", "control_proof", "name", "capability_version")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    WIREGUARD_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    WIREGUARD_PROOF_FIELD_NUMBER: _ClassVar[int]
    CONTROL_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTROL_PROOF_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_VERSION_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    token_id: str
    secret: bytes
    challenge: bytes
    csr: bytes
    wireguard_public_key: bytes
    wireguard_proof: bytes
    control_public_key: bytes
    control_proof: bytes
    name: str
    capability_version: int
    def __init__(self, tenant_id: _Optional[str] = ..., token_id: _Optional[str] = ..., secret: _Optional[bytes] = ..., challenge: _Optional[bytes] = ..., csr: _Optional[bytes] = ..., wireguard_public_key: _Optional[bytes] = ..., wireguard_proof: _Optional[bytes] = ..., control_public_key: _Optional[bytes] = ..., control_proof: _Optional[bytes] = ..., name: _Optional[str] = ..., capability_version: _Optional[int] = ...) -> None: ...

class JoinResponse(_message.Message):
    __slots__ = ("node", "certificate", "bundle", "root_public_key", "keyset", "cvlan_name", "root_transitions")
    NODE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    ROOT_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    KEYSET_FIELD_NUMBER: _ClassVar[int]
    CVLAN_NAME_FIELD_NUMBER: _ClassVar[int]
    ROOT_TRANSITIONS_FIELD_NUMBER: _ClassVar[int]
    node: _node_pb2.Node
    certificate: _certificate_pb2.Certificate
    bundle: _certificate_pb2.TrustBundle
    root_public_key: bytes
    keyset: _netmap_pb2.Signed
    cvlan_name: str
    root_transitions: _containers.RepeatedCompositeFieldContainer[_netmap_pb2.Signed]
    def __init__(self, node: _Optional[_Union[_node_pb2.Node, _Mapping]] = ..., certificate: _Optional[_Union[_certificate_pb2.Certificate, _Mapping]] = ..., bundle: _Optional[_Union[_certificate_pb2.TrustBundle, _Mapping]] = ..., root_public_key: _Optional[bytes] = ..., keyset: _Optional[_Union[_netmap_pb2.Signed, _Mapping]] = ..., cvlan_name: _Optional[str] = ..., root_transitions: _Optional[_Iterable[_Union[_netmap_pb2.Signed, _Mapping]]] = ...) -> None: ...

class ResolveTargetsRequest(_message.Message):
    __slots__ = ("tenant_id", "cvlan_id", "targets")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    CVLAN_ID_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    cvlan_id: str
    targets: _containers.RepeatedCompositeFieldContainer[_policy_pb2.PolicyTarget]
    def __init__(self, tenant_id: _Optional[str] = ..., cvlan_id: _Optional[str] = ..., targets: _Optional[_Iterable[_Union[_policy_pb2.PolicyTarget, _Mapping]]] = ...) -> None: ...

class ResolveTargetsResponse(_message.Message):
    __slots__ = ("targets",)
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    targets: _containers.RepeatedCompositeFieldContainer[ResolvedTarget]
    def __init__(self, targets: _Optional[_Iterable[_Union[ResolvedTarget, _Mapping]]] = ...) -> None: ...

class ResolvedTarget(_message.Message):
    __slots__ = ("selector",)
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    selector: _netmap_pb2.RuleSelector
    def __init__(self, selector: _Optional[_Union[_netmap_pb2.RuleSelector, _Mapping]] = ...) -> None: ...

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
