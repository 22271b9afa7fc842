import type { KeyProvider } from "./index.ts";

/** What a sealed column may hold. A number and a bigint of the same value are different values. */
export type SealValue =
  | null
  | string
  | number
  | bigint
  | boolean
  | Date
  | Uint8Array
  | readonly SealValue[]
  | { readonly [key: string]: SealValue };

export type SealFields = Readonly<Record<string, SealValue>>;

/**
 * Seal of a row: HMAC-SHA256 over its canonical form, 32 bytes.
 * @param table qualified by its service, `auth.api_key`; a seal of one table is never good for another.
 * @param fields every column that carries authority, the primary key and the tenant included.
 * @throws Error for a value without a canonical form: a number that is not finite, text with a lone surrogate.
 */
export function sealOf(keys: KeyProvider, table: string, fields: SealFields): Uint8Array {
  return keys.mac(contextOf(table), canonicalForm(fields));
}

function contextOf(table: string): string {
  return `seal/${table}`;
}

/** True when the seal is that of these fields, compared in constant time. A row whose seal does not hold is absent. */
export function requireSeal(keys: KeyProvider, table: string, fields: SealFields, seal: Uint8Array): boolean {
  return keys.verify(contextOf(table), canonicalForm(fields), seal);
}

/** Injective: a tag, a length and the bytes of each value, keys in code unit order. */
export function canonicalForm(fields: SealFields): Uint8Array {
  return new Uint8Array(encode(fields));
}

function encode(value: SealValue): Buffer {
  if (value === null) return item("0", Buffer.alloc(0));
  if (Array.isArray(value)) return item("a", Buffer.concat(value.map(encode)));
  if (value instanceof Uint8Array) return item("b", Buffer.from(value));
  if (value instanceof Date) return item("t", float(value.getTime()));
  switch (typeof value) {
    case "string":
      if (!value.isWellFormed()) throw new Error("text with a lone surrogate cannot be sealed");
      return item("s", Buffer.from(value));
    case "number":
      return item("d", float(value));
    case "bigint":
      return item("i", Buffer.from(value.toString()));
    case "boolean":
      return item("l", Buffer.of(value ? 1 : 0));
    default: {
      const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
      return item("m", Buffer.concat(entries.flatMap(([key, member]) => [encode(key), encode(member)])));
    }
  }
}

function item(tag: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(tag, "latin1");
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

function float(value: number): Buffer {
  if (!Number.isFinite(value)) throw new Error("a number that is not finite cannot be sealed");
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return bytes;
}
