import * as z from "zod";
import { damaged, readPrivate, statePath, writeWhole } from "./files.ts";

const schema = z.strictObject({
  version: z.literal(1),
  controller_url: z.url({ protocol: /^https$/ }),
  cluster_id: z.string().min(1).max(64),
  tenant_id: z.string().min(1).max(64),
  cvlan_id: z.string().min(1).max(64),
  cvlan_name: z.string().max(63),
  node_id: z.string().min(1).max(64),
  name: z.string().max(63),
  /** Token that was spent: joining with it again is the same join. */
  token_id: z.string().max(64),
  /** Ed25519, 32 bytes, base64: the tenant's root key, pinned by the join string. */
  root_public_key: z.base64().length(44),
});

/** What `agent.json` says: whose node this machine is. Its presence means that the join is complete. */
export type Membership = z.infer<typeof schema>;

const FILE = "agent.json";

/** @throws Refusal `STATE_DAMAGED` when the file is not what was written. */
export async function readMembership(state: string): Promise<Membership | undefined> {
  const path = statePath(state, FILE);
  const text = await readPrivate(path);
  if (text === undefined) return undefined;
  const parsed = schema.safeParse(parseJson(path, text));
  if (!parsed.success) throw damaged(path, z.prettifyError(parsed.error).replaceAll(/\s+/g, " "));
  return parsed.data;
}

export async function writeMembership(state: string, membership: Membership): Promise<void> {
  await writeWhole(statePath(state, FILE), `${JSON.stringify(membership, undefined, 2)}\n`);
}

/** @throws Refusal `STATE_DAMAGED`. */
export function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw damaged(path, "it is not JSON");
  }
}
