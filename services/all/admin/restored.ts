import { restoredKeyset } from "@cloudvlan/auth/restore";
import type { ArchivedRow } from "@cloudvlan/kit/db";
import type { KeyProvider } from "@cloudvlan/kit/keys";

type Row = Record<string, unknown>;

/**
 * A row as the restored installation has it; undefined for one that it must not have.
 *
 * Nodes have seen what came after the backup. A map of a later epoch is newer than all of it, whatever its revision; heads name keysets, which
 * know no epoch, so keysets get a version that none of before had. Tokens that nobody had used may have been used since. The log of the map is sealed
 * with its epoch and only saves a full map, what nodes report of themselves, and who is online, comes again.
 */
export async function restoredRow(
  row: ArchivedRow,
  keys: KeyProvider,
  nowMs: number,
): Promise<ArchivedRow | undefined> {
  const change = CHANGES[`${row.service}.${row.table}`];
  if (!change) return row;
  const changed = await change(JSON.parse(row.json) as Row, keys, nowMs);
  return changed && { ...row, json: JSON.stringify(changed) };
}

const gone = (): undefined => undefined;

const CHANGES: Readonly<
  Record<string, (row: Row, keys: KeyProvider, nowMs: number) => Row | undefined | Promise<Row>>
> = {
  "netmap.map": (row, _keys, nowMs) => ({ ...row, epoch: laterThan(row["epoch"], nowMs) }),
  "netmap.log": gone,
  "netmap.endpoint": gone,
  "netmap.presence": gone,
  "netmap.presence_worker": gone,
  "registry.join_token": (row) => (row["used_by"] === null ? undefined : row),
  "auth.tenant": async (row, keys, nowMs) => {
    const { keyset, version } = await restoredKeyset(
      keys,
      {
        tenantId: String(row["id"]),
        rootPublicKey: bytesOf(row["root_public_key"]),
        rootSeed: bytesOf(row["root_seed"]),
        keyset: bytesOf(row["keyset"]),
      },
      laterThan(row["keyset_version"], nowMs),
      nowMs,
    );
    return { ...row, keyset: `\\x${Buffer.from(keyset).toString("hex")}`, keyset_version: version };
  },
};

/** Seconds since the Unix epoch: a restore has a number that no earlier one had, also one from the same backup. */
function laterThan(former: unknown, nowMs: number): number {
  return Math.max(Number(former) + 1, Math.floor(nowMs / 1000));
}

function bytesOf(value: unknown): Uint8Array {
  if (typeof value !== "string" || !value.startsWith("\\x")) throw new Error("a row of a tenant has no bytes in it");
  return Buffer.from(value.slice(2), "hex");
}
