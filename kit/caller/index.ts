import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import type { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import type { NodeId, TenantId } from "../ids/index.ts";

export { currentScope, outsideScope, type RequestScope, runInScope } from "./scope.ts";

/** Names of the services of the control plane. */
export type ServiceName = "auth" | "registry" | "policy" | "netmap";

/** Who is at the other end of the connection. Read from TLS or set by the composer, never from a header. */
export type Workload =
  | { readonly kind: "none" }
  | { readonly kind: "service"; readonly name: ServiceName }
  | {
      readonly kind: "node";
      readonly tenantId: TenantId;
      readonly nodeId: NodeId;
      /** Seconds since the Unix epoch; what denials are compared with. */
      readonly issuedAt: number;
      /** True when past its validity; only the renewal RPC lets such a caller in. */
      readonly expired: boolean;
    };

/** The authority of a person, verified from a call context that auth signed. */
export interface Authority {
  /** `apikey:<id>`. */
  readonly subject: string;
  /** Undefined for the platform. */
  readonly tenantId: TenantId | undefined;
  readonly permissions: ReadonlySet<Permission>;
}

export interface Caller {
  readonly workload: Workload;
  readonly authority: Authority | undefined;
  readonly requestId: string;
  /** Address of the TCP peer; `local` in process. */
  readonly address: string;
}

export const callerKey = createContextKey<Caller | undefined>(undefined, { description: "cloudvlan caller" });

/** The caller of a handler. The authn interceptor always sets it. */
export function callerOf(context: HandlerContext): Caller {
  const caller = context.values.get(callerKey);
  if (!caller) throw new Error("the handler runs without the authn interceptor");
  return caller;
}

/** The calling node, for RPCs of scope SELF. Authz has checked the kind. */
export function nodeOf(context: HandlerContext): Extract<Workload, { kind: "node" }> {
  const { workload } = callerOf(context);
  if (workload.kind !== "node") throw new Error("the handler runs without the authz interceptor");
  return workload;
}

/** The subject that audit rows and provenance name. */
export function subjectOf(caller: Caller): string {
  if (caller.authority) return caller.authority.subject;
  switch (caller.workload.kind) {
    case "service":
      return `service:${caller.workload.name}`;
    case "node":
      return `node:${caller.workload.nodeId}`;
    case "none":
      return "anonymous";
  }
}
