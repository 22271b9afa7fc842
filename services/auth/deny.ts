import type { Tx } from "@cloudvlan/kit/db";
import { deniedBefore } from "./domain/denial.ts";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { DenialSchema } from "@cloudvlan/gen/entity/v1/events_pb.js";
import { findDenial, insertDenial, setDenialRevision } from "./store.ts";
import { STREAM } from "./stream.ts";
import type { AuthContext } from "./trusted.ts";

/**
 * Denies an identity everywhere: the row and the change that tells of it come in one transaction, once.
 * @param onDenied runs in that transaction when the identity was not denied before.
 * @returns revision of the change.
 */
export async function deny(
  ctx: AuthContext,
  subject: string,
  onDenied: (tx: Tx) => Promise<void> = () => Promise.resolve(),
): Promise<bigint> {
  return ctx.db.platform(async (tx) => {
    const nowMs = ctx.clock.nowMs();
    const issuedBeforeMs = deniedBefore(nowMs);
    if (!(await insertDenial(tx, subject, new Date(issuedBeforeMs), new Date(nowMs)))) {
      const revision = await findDenial(tx, subject);
      if (revision === undefined) throw new Error("a denial is there and is not");
      return revision;
    }
    const denial = create(DenialSchema, { subject, issuedBefore: timestampFromMs(issuedBeforeMs) });
    const revision = await ctx.changes.append(tx, STREAM, [
      { objectId: subject, change: { case: "denial", value: denial } },
    ]);
    await setDenialRevision(tx, subject, revision);
    await onDenied(tx);
    return revision;
  });
}

/** True when the identity was ever denied: it never gets another certificate. */
export async function isDenied(ctx: AuthContext, subject: string): Promise<boolean> {
  return (await ctx.db.platform((tx) => findDenial(tx, subject))) !== undefined;
}
