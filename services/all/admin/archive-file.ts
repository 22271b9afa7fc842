import { createHash } from "node:crypto";
import * as z from "zod";
import type { ArchivedRow } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";

/** Grows with each change that an older program could not read. */
export const FORMAT = 1;

const header = z.strictObject({
  format: z.int().min(1),
  cluster: z.string(),
  /** ISO 8601, UTC. */
  made_at: z.iso.datetime(),
  /** Ids of the migrations of each service, oldest first. */
  migrations: z.record(z.string(), z.array(z.string())),
});
const serviceName = z.enum(["auth", "registry", "policy", "netmap"]);
const line = z.union([
  /** A file of the installation, by a name that says where it belongs. */
  z.strictObject({ file: z.string().regex(/^(keys|ca)\/[\w.-]{1,64}$/), content: z.base64() }),
  z.strictObject({ service: serviceName, table: z.string().regex(/^[a-z_]{1,63}$/), row: z.string() }),
  z.strictObject({ end: z.strictObject({ lines: z.int(), sha256: z.string() }) }),
]);

export type Header = z.infer<typeof header>;
export type Entry = { readonly file: string; readonly content: Uint8Array } | { readonly row: ArchivedRow };

/** Writes an archive as lines of JSON: a header, entries, and an end that counts and sums up what stands before it. */
export function archiveWriter(first: Header): { head: string; line(entry: Entry): string; end(): string } {
  const sum = createHash("sha256");
  let lines = 0;
  const counted = (value: object): string => {
    const text = `${JSON.stringify(value)}\n`;
    sum.update(text);
    lines += 1;
    return text;
  };
  return {
    head: counted(first),
    line: (entry) =>
      counted(
        "file" in entry
          ? { file: entry.file, content: Buffer.from(entry.content).toString("base64") }
          : { service: entry.row.service, table: entry.row.table, row: entry.row.json },
      ),
    end: () => `${JSON.stringify({ end: { lines, sha256: sum.digest("hex") } })}\n`,
  };
}

function corrupt(what: string): Refusal {
  return new Refusal("invalid", "BACKUP_CORRUPT", `the backup is not whole: ${what}`, {
    remedy: "use another copy of it; nothing was changed",
  });
}

/**
 * Reads the header of an archive.
 * @throws Refusal `BACKUP_CORRUPT`, or `BACKUP_NEWER` when a later program wrote it.
 */
export function readHeader(text: string): Header {
  const value = parsed(text);
  const format = z.object({ format: z.int() }).safeParse(value).data?.format;
  if (format !== undefined && format > FORMAT) {
    throw new Refusal("invalid", "BACKUP_NEWER", `the backup has format ${format}; this program reads ${FORMAT}`, {
      remedy: "restore it with the version that made it",
    });
  }
  const result = header.safeParse(value);
  if (!result.success) throw corrupt("it begins with no header");
  return result.data;
}

/**
 * The entries of an archive in order, and at last the certainty that none is missing.
 * @param lines all of them, the header first.
 * @throws Refusal `BACKUP_CORRUPT` when one is no entry, or the end is missing or sums up something else.
 */
export async function* entriesOf(lines: AsyncIterable<string>): AsyncIterable<Entry> {
  const sum = createHash("sha256");
  let count = 0;
  let ended = false;
  for await (const text of lines) {
    if (ended) throw corrupt("something follows its end");
    if (count > 0) {
      const result = line.safeParse(parsed(text));
      if (!result.success) throw corrupt(`line ${count + 1} is no entry`);
      const entry = result.data;
      if ("end" in entry) {
        if (entry.end.lines !== count || entry.end.sha256 !== sum.digest("hex")) throw corrupt("its sum is wrong");
        ended = true;
        continue;
      }
      yield "file" in entry
        ? { file: entry.file, content: Buffer.from(entry.content, "base64") }
        : { row: { service: entry.service, table: entry.table, json: entry.row } };
    }
    sum.update(`${text}\n`);
    count += 1;
  }
  if (!ended) throw corrupt("its end is missing");
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw corrupt("a line is no JSON");
  }
}
