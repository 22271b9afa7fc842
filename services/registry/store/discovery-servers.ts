import type { Tx } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import type { Page } from "@cloudvlan/kit/page";
import { asc, eq, gt } from "drizzle-orm";
import { discoveryServers } from "../schema.ts";
import type { Seals } from "../seals.ts";
import { lockRelayRevision, raiseRelayRevision } from "./relay-maps.ts";

export type ServerRow = typeof discoveryServers.$inferSelect;

/** Name under which rows are sealed. */
const TABLE = "discovery_server";

/** Every server that is this service's, in the order of the ids. */
export async function allServers(tx: Tx, seals: Seals): Promise<ServerRow[]> {
  const rows = await tx.select().from(discoveryServers).orderBy(asc(discoveryServers.id));
  return rows.filter((row) => seals.open(TABLE, row));
}

/** A part of the list; what is not this service's is left out of it. */
export async function listServers(tx: Tx, page: Page): Promise<ServerRow[]> {
  return tx
    .select()
    .from(discoveryServers)
    .where(gt(discoveryServers.id, page.after))
    .orderBy(asc(discoveryServers.id))
    .limit(page.size + 1);
}

export function isServer(seals: Seals, row: ServerRow): boolean {
  return seals.open(TABLE, row) !== undefined;
}

/** @throws Refusal `not_found`. */
export async function requireServer(tx: Tx, seals: Seals, id: string): Promise<ServerRow> {
  const [stored] = await tx.select().from(discoveryServers).where(eq(discoveryServers.id, id));
  const row = seals.open(TABLE, stored);
  if (row) return row;
  throw serverNotFound(stored ? "SEAL_BROKEN" : undefined);
}

export function serverNotFound(auditReason?: string): Refusal {
  return new Refusal("not_found", "DISCOVERY_SERVER_NOT_FOUND", "there is no such discovery server", {
    field: "discovery_server_id",
    remedy: "list the discovery servers",
    ...(auditReason !== undefined && { auditReason }),
  });
}

export function serverNameTaken(name: string): Refusal {
  return new Refusal("exists", "DISCOVERY_SERVER_NAME_TAKEN", `there is a discovery server named ${name}`, {
    field: "name",
    remedy: "choose another name",
  });
}

/** What nodes take for the name of a region: one that somebody put into the database makes them refuse the whole map. */
const REGION_NAME = /^[a-z][a-z0-9-]{0,61}[a-z0-9]$/;

/** Stores a server in place of the one of the same id, and has every cvlan told. The relay revision is locked. */
export async function putServer(tx: Tx, seals: Seals, server: Omit<ServerRow, "seal">): Promise<ServerRow> {
  if (!REGION_NAME.test(server.regionName)) throw new Error("the name of a stored region was changed");
  const row = seals.seal(TABLE, server);
  const { id: _id, createdAt: _at, createdBy: _by, ...set } = row;
  await tx
    .insert(discoveryServers)
    .values(row)
    .onConflictDoUpdate({ target: [discoveryServers.id], set });
  await raiseRelayRevision(tx);
  return row;
}

/** Deletes a server, also one that somebody changed, and has every cvlan told. False when there was none. */
export async function deleteServer(tx: Tx, id: string): Promise<boolean> {
  await lockRelayRevision(tx);
  const deleted = await tx
    .delete(discoveryServers)
    .where(eq(discoveryServers.id, id))
    .returning({ id: discoveryServers.id });
  if (deleted.length > 0) await raiseRelayRevision(tx);
  return deleted.length > 0;
}

/** Gives the servers of a region, which is locked, its name. @returns true when any had another. */
export async function renameRegionOfServers(
  tx: Tx,
  seals: Seals,
  regionId: string,
  regionName: string,
  updatedAt: Date,
): Promise<boolean> {
  const named = await tx
    .select({ id: discoveryServers.id })
    .from(discoveryServers)
    .where(eq(discoveryServers.regionId, regionId));
  if (named.length === 0) return false;
  await lockRelayRevision(tx);
  const servers = await allServers(tx, seals);
  const others = servers.filter((server) => server.regionId === regionId && server.regionName !== regionName);
  for (const server of others) await putServer(tx, seals, { ...server, regionName, updatedAt });
  return others.length > 0;
}
