import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";

/** Logs of other people's programs. What the programs say that send a test's or the demonstration's own traffic ends in `.out`. */
const NOT_OURS = /(^|\/)(ca|pglite)\//;
const LOUD = /^(warn|error)$/i;

/** What a line says that is a warning or worse, or no line of a log at all; undefined otherwise. */
function loudnessOf(line: string): string | undefined {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  return LOUD.test(String(fields["level"])) ? line : undefined;
}

/**
 * Lines of WARN and above in the logs below a folder.
 * @param provoked what was expected to be said
 */
export async function loudLines(folder: string, provoked: readonly RegExp[] = []): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const found: string[] = [];
  for (const entry of entries) {
    const name = relative(folder, join(entry.parentPath, entry.name));
    if (!entry.isFile() || !/\.log(\.\d)?$/.test(name) || NOT_OURS.test(name)) continue;
    const lines = (await readFile(join(folder, name), "utf8")).split("\n").filter((line) => line !== "");
    for (const line of lines) {
      const loud = loudnessOf(line);
      if (loud !== undefined && !provoked.some((pattern) => pattern.test(loud))) found.push(`${name}: ${loud}`);
    }
  }
  return found;
}
