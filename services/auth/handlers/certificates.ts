import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import { type Caller, callerOf, type Workload } from "@cloudvlan/kit/caller";
import { Refusal } from "@cloudvlan/kit/errors";
import { type NodeId, requireId, type TenantId } from "@cloudvlan/kit/ids";
import { checkCsr } from "@cloudvlan/kit/ca";
import { formatSpiffe } from "@cloudvlan/kit/pki";
import { tenantSubject } from "@cloudvlan/kit/server";
import type { ServiceImpl } from "@connectrpc/connect";
import { isDenied } from "../deny.ts";
import { nodeSubject } from "../domain/denial.ts";
import type { AuthContext } from "../trusted.ts";
import { requireActiveTenant, requireService, requireTenant } from "./common.ts";

/** A certificate that is to be issued. */
interface Order {
  readonly spiffeId: string;
  readonly names: readonly string[];
  readonly ttlSeconds: number;
  /** Whose audit log has the row; undefined for the platform. */
  readonly tenantId: TenantId | undefined;
  readonly objectId: string;
  readonly action: string;
  /** A node of a suspended tenant goes on hearing what is said to it; none joins. */
  readonly requireTenant: typeof requireTenant;
}

export function certificateHandlers(ctx: AuthContext): ServiceImpl<typeof CertificateService> {
  const bundle = async () => ({
    roots: [...(await ctx.ca.roots())],
    crossSigned: [...(await ctx.ca.crossSigned())],
  });

  function nodeOrder(tenantId: TenantId, nodeId: NodeId, action: string, admit: typeof requireTenant): Order {
    const ttlSeconds = ctx.config.node_certificate_ttl_seconds;
    const spiffeId = nodeSubject(ctx.clusterId, tenantId, nodeId);
    return { spiffeId, names: [], ttlSeconds, tenantId, objectId: nodeId, action, requireTenant: admit };
  }

  /** The identity is that of the presented certificate; no field of the request has a say in it. */
  function renewalOrder(workload: Workload): Order {
    const action = pathOf(CertificateService.method.renewCertificate);
    switch (workload.kind) {
      case "node":
        return nodeOrder(workload.tenantId, workload.nodeId, action, requireTenant);
      case "service": {
        const { name } = workload;
        const spiffeId = formatSpiffe({ trustDomain: ctx.clusterId, kind: "service", name });
        const names = ctx.config.service_names[name] ?? [];
        const ttlSeconds = ctx.config.service_certificate_ttl_seconds;
        return { spiffeId, names, ttlSeconds, tenantId: undefined, objectId: spiffeId, action, requireTenant };
      }
      case "none":
        throw new Refusal("unauthenticated", "CERTIFICATE_MISSING", "renewal needs the certificate to renew", {
          remedy: "present the current certificate, expired or not",
        });
    }
  }

  async function issue(caller: Caller, order: Order, csr: Uint8Array) {
    await checkCsr(csr, order.spiffeId);
    const { tenantId } = order;
    if (tenantId) await order.requireTenant(ctx, caller, tenantId);
    const subjects = tenantId ? [order.spiffeId, tenantSubject(tenantId)] : [order.spiffeId];
    if (await isDenied(ctx, subjects)) {
      throw new Refusal("denied", "IDENTITY_DENIED", "the identity was revoked and gets no certificate any more", {
        objectId: order.objectId,
        remedy: "join again with a new token",
      });
    }
    // Should the identity be denied from here on: certificates are backdated by a minute, longer than the CA may take to
    // answer, so this one is older than the denial and refused like all before it.
    const { chain, notBefore, notAfter } = await ctx.ca.sign(csr, order.spiffeId, order.names, order.ttlSeconds);
    const { action, objectId } = order;
    const record = (tx: Parameters<typeof ctx.audit.record>[0]) =>
      ctx.audit.record(tx, caller, { action, objectId, outcome: "ok" });
    await (tenantId ? ctx.db.tenant(tenantId, record) : ctx.db.platform(record));
    return {
      certificate: {
        chain: [...chain],
        notBefore: timestampFromDate(notBefore),
        notAfter: timestampFromDate(notAfter),
        spiffeId: order.spiffeId,
      },
      bundle: await bundle(),
    };
  }

  return {
    getTrustBundle: async () => ({ bundle: await bundle() }),

    renewCertificate({ csr }, context) {
      const caller = callerOf(context);
      return issue(caller, renewalOrder(caller.workload), csr);
    },

    mintCertificate({ tenantId: asked, nodeId, csr }, context) {
      const caller = callerOf(context);
      requireService(caller, ["registry"]);
      const tenantId = requireId("tenant", asked, "tenant_id");
      const action = pathOf(CertificateService.method.mintCertificate);
      return issue(caller, nodeOrder(tenantId, requireId("node", nodeId, "node_id"), action, requireActiveTenant), csr);
    },
  };
}
