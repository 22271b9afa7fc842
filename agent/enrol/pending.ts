import * as z from "zod";
import { createCsr, newTlsKey } from "@cloudvlan/kit/pki";
import { damaged, readPrivate, removeFile, statePath, writeWhole } from "../state/files.ts";
import { parseJson } from "../state/membership.ts";

const schema = z.strictObject({
  version: z.literal(1),
  join_string: z.string().max(4_096),
  name: z.string().min(1).max(63),
  key_pem: z.string().max(4_096),
  csr: z.base64().max(8_192),
});

/** A join that was begun: what must be the same when it is repeated. */
export interface PendingJoin {
  /** Secret. */
  readonly joinString: string;
  readonly name: string;
  /** PKCS #8, PEM; secret. */
  readonly keyPem: string;
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
}

const FILE = "join.pending";

/** @throws Refusal `STATE_DAMAGED`. */
export async function readPending(state: string): Promise<PendingJoin | undefined> {
  const path = statePath(state, FILE);
  const text = await readPrivate(path);
  if (text === undefined) return undefined;
  const parsed = schema.safeParse(parseJson(path, text));
  if (!parsed.success) throw damaged(path, "it is not what was written");
  const { join_string, name, key_pem, csr } = parsed.data;
  return { joinString: join_string, name, keyPem: key_pem, csr: Buffer.from(csr, "base64") };
}

/**
 * The pending join for this string: the one that was begun, or a new one, which is on disk before this returns. A lost
 * answer is then repeated with the same key, whatever crashed in between.
 */
export async function beginPending(state: string, joinString: string, name: string): Promise<PendingJoin> {
  const begun = await readPending(state);
  if (begun?.joinString === joinString) return begun;
  const keyPem = newTlsKey();
  const pending = { joinString, name, keyPem, csr: await createCsr(keyPem) };
  await writeWhole(
    statePath(state, FILE),
    JSON.stringify({
      version: 1,
      join_string: joinString,
      name,
      key_pem: keyPem,
      csr: Buffer.from(pending.csr).toString("base64"),
    }),
  );
  return pending;
}

export async function endPending(state: string): Promise<void> {
  await removeFile(statePath(state, FILE));
}
