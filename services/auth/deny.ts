import type { Tx } from "@cloudvlan/kit/db";
import { DENIED_BEFORE_MS } from "./domain/denial.ts";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { DenialSchema } from "@cloudvlan/gen/entity/v1/events_pb.js";
import { findDenial, insertDenial, setDenialRevision } from "./store.ts";
import { STREAM } from "./stream.ts";
import type { AuthContext } from "./trusted.ts";

/**
 * Denies an identity everywhere: the row and the change that tells of it come in one transaction. Again, it is told again:
 * a row that is there does not prove that its change still is.
 * @param onDenied runs in that transaction when the identity was not denied before.
 * @returns revision of the change.
 */
export async function deny(
  ctx: AuthContext,
  subject: string,
  onDenied: (tx: Tx) => Promise<void> = () => Promise.resolve(),
): Promise<bigint> {
  const denied = await ctx.db.platform(async (tx) => {
    const issuedBefore = new Date(DENIED_BEFORE_MS);
    const isNew = await insertDenial(tx, subject, issuedBefore, new Date(ctx.clock.nowMs()));
    const denial = create(DenialSchema, { subject, issuedBefore: timestampFromMs(DENIED_BEFORE_MS) });
    const revision = await ctx.changes.append(tx, STREAM, [
      { objectId: subject, change: { case: "denial", value: denial } },
    ]);
    await setDenialRevision(tx, subject, revision);
    if (isNew) await onDenied(tx);
    return revision;
  });
  // Whoever revoked it here sees it refused here, also when its authority is remembered.
  ctx.denyHere(subject, DENIED_BEFORE_MS / 1000);
  return denied;
}

/** True when the identity was ever denied: it never gets another certificate. */
export async function isDenied(ctx: AuthContext, subject: string): Promise<boolean> {
  return ctx.isDeniedHere(subject) || (await ctx.db.platform((tx) => findDenial(tx, subject))) !== undefined;
}
