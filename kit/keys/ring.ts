import { hkdfSync } from "node:crypto";

export const KEY_BYTES = 32;

/** What MACs of these contexts stand in cannot be made again: records that others signed, files on other machines. */
const LASTING: readonly string[] = ["registry/selector", "denial-journal"];

/** Master keys of an installation. */
export interface Keyring {
  /** Newest first. The first wraps and seals, the others only open. */
  readonly masters: readonly [Buffer, ...Buffer[]];
  /** By context, the key of MACs that stay the same under every master key; derived from the first one there ever was. */
  readonly lasting: ReadonlyMap<string, Buffer>;
}

const HEAD = "cloudvlan-keyring 1";

/** A ring with one key of its own. */
export function firstRing(master: Buffer): Keyring {
  return { masters: [master], lasting: new Map(LASTING.map((context) => [context, derive(master, "mac", context)])) };
}

/** Key of a purpose in a context: HKDF-SHA256, RFC 5869. */
export function derive(master: Uint8Array, purpose: "wrap" | "mac", context: string): Buffer {
  return Buffer.from(hkdfSync("sha256", master, "", `cloudvlan/${purpose}/v1\0${context}`, KEY_BYTES));
}

/** Text of the file: a line a key. */
export function formatRing({ masters, lasting }: Keyring): string {
  const keys = masters.map((key) => `master ${key.toString("base64url")}`);
  const kept = [...lasting].map(([context, key]) => `lasting ${context} ${key.toString("base64url")}`);
  return [HEAD, ...keys, ...kept, ""].join("\n");
}

/** 32 bytes are a single key, as an installation begins with; undefined for what is neither that nor a ring. */
export function parseRing(content: Buffer): Keyring | undefined {
  if (content.length === KEY_BYTES) return firstRing(content);
  const [head, ...lines] = content.toString("latin1").split("\n");
  const masters: Buffer[] = [];
  const lasting = new Map<string, Buffer>();
  for (const line of lines.slice(0, -1)) {
    const [, kind, context = "", text = ""] = /^(master|lasting (\S+)) ([A-Za-z0-9_-]{43})$/.exec(line) ?? [];
    if (kind === undefined) return undefined;
    if (kind === "master") masters.push(Buffer.from(text, "base64url"));
    else lasting.set(context, Buffer.from(text, "base64url"));
  }
  const [newest, ...older] = masters;
  const whole = head === HEAD && lines.at(-1) === "" && LASTING.every((context) => lasting.has(context));
  return whole && newest ? { masters: [newest, ...older], lasting } : undefined;
}
