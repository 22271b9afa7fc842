import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";

/** Logs of other people's programs, and words of the programs that send the tests' own traffic. */
const NOT_OURS = /(^|\/)(ca|pglite)\/|stream-(client|server)\.ts\.log$/;
/** What an agent says while its controller, or the way to it, is gone. */
export const CONTROLLER_GONE: readonly RegExp[] = [
  /"controller unreachable"/,
  /"endpoints not reported yet"/,
  /"map streams break young here; polling for a while"/,
];
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
 * @param provoked what the test is about, and therefore expects
 */
export async function loudLines(folder: string, provoked: readonly RegExp[]): Promise<string[]> {
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

/** @throws Error with the lines, when there are any that nobody provoked. */
export async function requireQuiet(folder: string, provoked: readonly RegExp[]): Promise<void> {
  const lines = await loudLines(folder, provoked);
  if (lines.length === 0) return;
  const shown = lines.slice(0, 20).map((line) => line.slice(0, 600));
  throw new Error(`${lines.length} lines of WARN and above that the test does not provoke:\n${shown.join("\n")}`);
}
