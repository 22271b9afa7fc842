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
  const revision = await ctx.db.platform(async (tx) => {
    const told = await writeDenial(ctx, tx, subject);
    if (told.isNew) await onDenied(tx);
    return told.revision;
  });
  denyHere(ctx, subject);
  return revision;
}

/** The part of it that is in a transaction of the platform; `denyHere` is to follow. */
export async function writeDenial(
  ctx: AuthContext,
  tx: Tx,
  subject: string,
): Promise<{ readonly isNew: boolean; readonly revision: bigint }> {
  const issuedBefore = new Date(DENIED_BEFORE_MS);
  const isNew = await insertDenial(tx, subject, issuedBefore, new Date(ctx.clock.nowMs()));
  const denial = create(DenialSchema, { subject, issuedBefore: timestampFromMs(DENIED_BEFORE_MS) });
  const revision = await ctx.changes.append(tx, STREAM, [
    { objectId: subject, change: { case: "denial", value: denial } },
  ]);
  await setDenialRevision(tx, subject, revision);
  return { isNew, revision };
}

/** Whoever denied it here sees it refused here, also when its authority is remembered. */
export function denyHere(ctx: AuthContext, subject: string): void {
  ctx.denyHere(subject, DENIED_BEFORE_MS / 1000);
}

/** True when one of the identities was ever denied: it never gets another certificate. */
export async function isDenied(ctx: AuthContext, subjects: readonly string[]): Promise<boolean> {
  if (subjects.some((subject) => ctx.isDeniedHere(subject))) return true;
  return ctx.db.platform(async (tx) => {
    for (const subject of subjects) if ((await findDenial(tx, subject)) !== undefined) return true;
    return false;
  });
}
