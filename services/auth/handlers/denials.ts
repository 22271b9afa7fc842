import { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import { callerOf } from "@cloudvlan/kit/caller";
import { requireId } from "@cloudvlan/kit/ids";
import type { ServiceImpl } from "@connectrpc/connect";
import { deny } from "../deny.ts";
import { nodeSubject } from "../domain/denial.ts";
import { STREAM } from "../stream.ts";
import { verifiedStandings } from "../tenant-life.ts";
import type { AuthContext } from "../trusted.ts";
import { requireService } from "./common.ts";

type DenialRpcs = Pick<ServiceImpl<typeof AuthService>, "deny" | "watchChanges">;

/** Revocation by identity. */
export function denialHandlers(ctx: AuthContext): DenialRpcs {
  return {
    async deny({ tenantId, nodeId }, context) {
      const caller = callerOf(context);
      requireService(caller, ["registry"]);
      const node = requireId("node", nodeId, "node_id");
      const subject = nodeSubject(ctx.clusterId, requireId("tenant", tenantId, "tenant_id"), node);
      const action = pathOf(AuthService.method.deny);
      const revision = await deny(ctx, subject, (tx) =>
        ctx.audit.record(tx, caller, { action, objectId: node, outcome: "ok" }),
      );
      return { revision };
    },

    async *watchChanges({ since }, context) {
      const caller = callerOf(context);
      for await (const { changes, revision } of ctx.changes.watch(undefined, STREAM, since, context.signal)) {
        yield { changes: [...(await verifiedStandings(ctx, caller, changes))], revision };
      }
    },
  };
}
