import type { ServiceName } from "../caller/index.ts";
import { isId, type NodeId, type TenantId } from "../ids/index.ts";

/** Identity of a workload (SPIFFE ID specification 2). The trust domain is the cluster id. */
export type SpiffeId =
  | { readonly trustDomain: string; readonly kind: "node"; readonly tenantId: TenantId; readonly nodeId: NodeId }
  | { readonly trustDomain: string; readonly kind: "service"; readonly name: ServiceName }
  /** Listener of a composed process. */
  | { readonly trustDomain: string; readonly kind: "controller"; readonly host: string };

const SERVICES: Record<ServiceName, true> = { auth: true, registry: true, policy: true, netmap: true };
const HOST = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;

/**
 * The URI of an identity.
 * @throws Error when a part is not what it must be; a controller's host is a lower-case DNS name.
 */
export function formatSpiffe(id: SpiffeId): string {
  const uri = `spiffe://${id.trustDomain}/${pathOf(id)}`;
  if (!parseSpiffe(uri)) throw new Error(`${uri} is not a SPIFFE id of this system`);
  return uri;
}

function pathOf(id: SpiffeId): string {
  switch (id.kind) {
    case "node":
      return `tenant/${id.tenantId}/node/${id.nodeId}`;
    case "service":
      return `platform/service/${id.name}`;
    case "controller":
      return `platform/controller/${id.host}`;
  }
}

/** Reads a SPIFFE id of one of our kinds; anything else, however close, is undefined. */
export function parseSpiffe(uri: string): SpiffeId | undefined {
  if (uri.length > 512 || !uri.startsWith("spiffe://")) return undefined;
  const [trustDomain = "", scope, ...path] = uri.slice("spiffe://".length).split("/");
  if (!isId("cluster", trustDomain)) return undefined;
  if (scope === "tenant" && path.length === 3) {
    const [tenantId = "", kind, nodeId = ""] = path;
    if (kind !== "node" || !isId("tenant", tenantId) || !isId("node", nodeId)) return undefined;
    return { trustDomain, kind, tenantId, nodeId };
  }
  if (scope === "platform" && path.length === 2) {
    const [kind, name = ""] = path;
    if (kind === "service" && isServiceName(name)) return { trustDomain, kind, name };
    if (kind === "controller" && HOST.test(name)) return { trustDomain, kind, host: name };
  }
  return undefined;
}

function isServiceName(name: string): name is ServiceName {
  return Object.hasOwn(SERVICES, name);
}
