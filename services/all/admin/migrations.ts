import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { services } from "../compose.ts";

const journal = z.object({ entries: z.array(z.object({ tag: z.string() })) });

/** Ids of the migrations that this program has, oldest first, by service. */
export async function ownMigrations(): Promise<Record<string, string[]>> {
  const all = services.map(async ({ name, migrations }) => {
    const text = await readFile(join(migrations, "meta/_journal.json"), "utf8");
    return [name, journal.parse(JSON.parse(text)).entries.map(({ tag }) => tag)] as const;
  });
  return Object.fromEntries(await Promise.all(all));
}
