import { randomFillSync } from "node:crypto";
import { Refusal } from "../errors/index.ts";

/** Prefix of a typed id at the edge of the system. */
export type IdKind =
  | "tenant"
  | "cvlan"
  | "node"
  | "group"
  | "region"
  | "discoveryserver"
  | "apikey"
  | "jointoken"
  | "cluster"
  | "key"
  | "selector";

/** A typed id: `<kind>_<uuid>`. The kind is part of the type, so a node id never passes for a tenant id. */
export type Id<K extends IdKind> = `${K}_${string}`;

export type TenantId = Id<"tenant">;
export type CvlanId = Id<"cvlan">;
export type NodeId = Id<"node">;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * Makes a new id.
 * @param nowMs milliseconds since the Unix epoch; the first 48 bits of the UUIDv7 (RFC 9562 section 5.7).
 */
export function newId<K extends IdKind>(kind: K, nowMs: number): Id<K> {
  const bytes = new Uint8Array(16);
  randomFillSync(bytes, 6);
  new DataView(bytes.buffer).setUint16(0, Math.floor(nowMs / 2 ** 32));
  new DataView(bytes.buffer).setUint32(2, nowMs % 2 ** 32);
  bytes[6] = 0x70 | (bytes[6]! & 0x0f);
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  const hex = Buffer.from(bytes).toString("hex");
  const uuid = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  return `${kind}_${uuid}`;
}

/** True when `value` is a well-formed id of that kind. */
export function isId<K extends IdKind>(kind: K, value: string): value is Id<K> {
  return value.startsWith(`${kind}_`) && UUID.test(value.slice(kind.length + 1));
}

/**
 * The id that a request gives.
 * @param field of the request, for the error.
 * @throws Refusal `invalid` when the text is no id of the kind.
 */
export function requireId<K extends IdKind>(kind: K, value: string, field: string): Id<K> {
  if (isId(kind, value)) return value;
  throw new Refusal("invalid", "ID_MALFORMED", `${field} is not an id of the form ${kind}_<uuid>`, {
    field,
    remedy: `give the id as ${kind}_… with a lower-case UUID`,
  });
}

/** The 16 bytes of an id's UUID. */
export function idBytes(id: Id<IdKind>): Uint8Array {
  return Uint8Array.from(Buffer.from(id.slice(id.indexOf("_") + 1).replaceAll("-", ""), "hex"));
}
