import { rekeyRows, type SecretTable } from "@cloudvlan/kit/rekey";
import { contextOf } from "./context-key.ts";
import {
  API_KEY_TABLE,
  apiKeyFields,
  KEY_ROTATION_TABLE,
  keyRotationFields,
  TENANT_TABLE,
  tenantFields,
} from "./domain/seals.ts";
import { rootContextOf } from "./root-key.ts";
import { apiKeys, contextKeys, keyRotations, tenants } from "./schema.ts";

/** What auth keeps under the master key. */
export const secrets: readonly SecretTable[] = [
  {
    scopes: ["platform"],
    rekey: (tx, rekey) =>
      rekeyRows(tx, tenants, ["id"], async (row) => ({
        rootSeed: await rekey.secret(rootContextOf(row.id), row.rootSeed),
        seal: rekey.seal(TENANT_TABLE, tenantFields(row), row.seal),
      })),
  },
  {
    scopes: ["platform", "tenant"],
    rekey: (tx, rekey) =>
      rekeyRows(tx, apiKeys, ["id"], (row) => ({ seal: rekey.seal(API_KEY_TABLE, apiKeyFields(row), row.seal) })),
  },
  {
    scopes: ["platform"],
    rekey: (tx, rekey) =>
      rekeyRows(tx, keyRotations, ["tenantId", "role"], (row) => ({
        seal: rekey.seal(KEY_ROTATION_TABLE, keyRotationFields(row), row.seal),
      })),
  },
  {
    scopes: ["platform"],
    rekey: (tx, rekey) =>
      rekeyRows(tx, contextKeys, ["slot"], async ({ keyId, seed }) => ({
        seed: await rekey.secret(contextOf(keyId), seed),
      })),
  },
];
