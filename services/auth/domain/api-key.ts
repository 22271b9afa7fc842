import { createHash, timingSafeEqual } from "node:crypto";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { type Id, isId, type TenantId } from "@cloudvlan/kit/ids";

/** Parts of the text of an API key, `cvk_<tenant uuid or "platform">_<key uuid>_<secret>`. */
export interface ApiKeyText {
  /** Undefined for the platform. */
  readonly tenantId: TenantId | undefined;
  readonly keyId: Id<"apikey">;
  /** 32 random bytes, base64url. */
  readonly secret: string;
}

const TEXT = /^cvk_(platform|[0-9a-f-]{36})_([0-9a-f-]{36})_([A-Za-z0-9_-]{43})$/;

export function formatApiKey({ tenantId, keyId, secret }: ApiKeyText): string {
  const owner = tenantId === undefined ? "platform" : tenantId.slice("tenant_".length);
  return `cvk_${owner}_${keyId.slice("apikey_".length)}_${secret}`;
}

/** Undefined for anything that is not the text of an API key. */
export function parseApiKey(text: string): ApiKeyText | undefined {
  const [, owner = "", key = "", secret = ""] = TEXT.exec(text) ?? [];
  const tenantId = `tenant_${owner}`;
  const keyId = `apikey_${key}`;
  if (!isId("apikey", keyId)) return undefined;
  if (owner === "platform") return { tenantId: undefined, keyId, secret };
  return isId("tenant", tenantId) ? { tenantId, keyId, secret } : undefined;
}

/** What the database keeps of the secret: SHA-256. The secret has 256 bits, so nothing slower is needed. */
export function digestOf(secret: string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(secret).digest());
}

/** Compares in constant time. */
export function secretMatches(secret: string, digest: Uint8Array): boolean {
  const given = digestOf(secret);
  return digest.length === given.length && timingSafeEqual(digest, given);
}

/** Permissions that a key can carry; the others are no rights or belong to services. */
export function isGrantable(permission: Permission): boolean {
  return (
    permission !== Permission.UNSPECIFIED &&
    permission !== Permission.NONE &&
    permission !== Permission.CONTROL_PLANE &&
    Object.values(Permission).includes(permission)
  );
}

/** Everything a key can carry: what the platform's owner may do. */
export function allPermissions(): Permission[] {
  return Object.values(Permission).filter(
    (value): value is Permission => typeof value === "number" && isGrantable(value),
  );
}
