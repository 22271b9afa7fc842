import { randomBytes } from "node:crypto";
import { mkdir, unlink } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { readSecretFile } from "@cloudvlan/kit/config";
import { createWhole } from "@cloudvlan/kit/files";
import { newId } from "@cloudvlan/kit/ids";
import { sealOf } from "@cloudvlan/kit/keys";
import { allPermissions, type ApiKeyText, digestOf, formatApiKey, parseApiKey } from "./domain/api-key.ts";
import { API_KEY_TABLE, apiKeyFields } from "./domain/seals.ts";
import { findOwnerKey, insertOwnerKey } from "./store.ts";
import type { AuthContext } from "./trusted.ts";

const LIFE_MS = 10 * 365 * 86_400_000;

/**
 * Makes the platform owner's API key, once in the life of an installation, and writes it to a file of mode 0600. The file
 * is written first: a start that is killed in between finds it and goes on with the same key.
 */
export async function ensureOwnerKey(ctx: AuthContext): Promise<void> {
  if (await ctx.db.platform(findOwnerKey)) return;
  const path = resolve(ctx.data, ctx.config.owner_key_file);
  const key = await keyInFile(ctx, path);
  const nowMs = ctx.clock.nowMs();
  const fields = {
    tenantId: null,
    id: key.keyId,
    name: "platform owner",
    digest: digestOf(key.secret),
    permissions: allPermissions(),
    owner: true,
    expiresAt: new Date(nowMs + LIFE_MS),
    revokedAt: null,
    createdAt: new Date(nowMs),
    createdBy: "service:auth",
  };
  const row = { ...fields, seal: sealOf(ctx.keys, API_KEY_TABLE, apiKeyFields(fields)) };
  const kept = await ctx.db.platform(async (tx) => ((await insertOwnerKey(tx, row)) ? row : findOwnerKey(tx)));
  if (kept?.id !== key.keyId) {
    await unlink(path);
    ctx.log.warn({ object_id: kept?.id }, "another worker made the owner's API key; it lies in a file of that worker");
  }
}

async function keyInFile(ctx: AuthContext, path: string): Promise<ApiKeyText> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const made = {
    tenantId: undefined,
    keyId: newId("apikey", ctx.clock.nowMs()),
    secret: randomBytes(32).toString("base64url"),
  };
  if (await createWhole(path, `${formatApiKey(made)}\n`)) return made;
  const present = parseApiKey(readSecretFile(path));
  if (!present || present.tenantId !== undefined) {
    throw new Error(`${path} exists and holds no platform API key; move it away or name another owner_key_file`);
  }
  return present;
}
