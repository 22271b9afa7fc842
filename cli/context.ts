import { chmod, mkdir, rename, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import * as z from "zod";
import { parseConfig, readSecretFile } from "@cloudvlan/kit/config";

const schema = z.strictObject({
  version: z.literal(1),
  controller: z.url({ protocol: /^https$/ }),
  /** Roots of the controller's CA. */
  ca_pem: z.string().min(1),
  /** API key; secret. */
  key: z.string().regex(/^cvk_/, "must be an API key (cvk_…)"),
  tenant: z.string().optional(),
  cvlan: z.string().optional(),
});

/** Where `cvlan` goes and as whom, when the command line does not say. */
export type Context = z.infer<typeof schema>;

export function contextPath(configHome: string): string {
  return join(configHome, "cloudvlan", "context.json");
}

/**
 * @returns undefined when there is no such file.
 * @throws ConfigError when it is open to others or not what `login` wrote.
 */
export function readContext(path: string): Context | undefined {
  if (!existsSync(path)) return undefined;
  return parseConfig(path, readSecretFile(path), schema);
}

/** Writes the file whole, for its owner alone. */
export async function writeContext(path: string, context: Context): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const beside = `${path}.tmp`;
  await writeFile(beside, `${JSON.stringify(context, undefined, 2)}\n`, { mode: 0o600 });
  await chmod(beside, 0o600);
  await rename(beside, path);
}
