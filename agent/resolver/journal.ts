import * as z from "zod";
import { Refusal } from "@cloudvlan/kit/errors";
import { readPrivate, removeFile, statePath, writeWhole } from "../state/files.ts";

/** Longest file that is taken for a resolv.conf, in bytes. */
export const MAX_RESOLV_CONF = 64 * 1024;

const former = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("absent") }),
  z.strictObject({ kind: z.literal("link"), target: z.string().min(1).max(4_096) }),
  z.strictObject({
    kind: z.literal("file"),
    /** Base64: the file need not be text. */
    content: z.base64().max(2 * MAX_RESOLV_CONF),
    mode: z.int().min(0).max(0o7777),
  }),
]);

const schema = z.discriminatedUnion("backend", [
  z.strictObject({ version: z.literal(1), backend: z.literal("file"), mark: z.string().min(1), former }),
  z.strictObject({ version: z.literal(1), backend: z.literal("resolved"), interface: z.string().min(1).max(15) }),
]);

/** What stood at the place of the file. */
export type Former = z.infer<typeof former>;
/** What was changed on the host, written before the change. */
export type Journal = z.infer<typeof schema>;

const FILE = "resolver.json";

/** @throws Refusal `RESOLVER_STATE_DAMAGED` when the file is not what was written. */
export async function readJournal(state: string): Promise<Journal | undefined> {
  const path = statePath(state, FILE);
  const text = await readPrivate(path);
  if (text === undefined) return undefined;
  const parsed = schema.safeParse(jsonOf(text));
  if (parsed.success) return parsed.data;
  throw new Refusal("conflict", "RESOLVER_STATE_DAMAGED", `${path} is damaged; the former resolver is not known`, {
    field: "state",
    remedy: `write /etc/resolv.conf as it should be without the overlay, then remove ${path}`,
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // No journal has this form.
    return undefined;
  }
}

export async function writeJournal(state: string, journal: Journal): Promise<void> {
  await writeWhole(statePath(state, FILE), `${JSON.stringify(journal)}\n`);
}

export async function removeJournal(state: string): Promise<void> {
  await removeFile(statePath(state, FILE));
}
