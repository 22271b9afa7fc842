import { execFile } from "node:child_process";
import { promisify } from "node:util";

const MAX_BYTES = 64 * 1024 * 1024;

/** What a command writes to standard output. @throws Error with its words when it fails */
export async function bytesOf(argv: readonly string[], cwd: string, input?: Uint8Array): Promise<Uint8Array> {
  const [program = "", ...args] = argv;
  const running = promisify(execFile)(program, args, { cwd, maxBuffer: MAX_BYTES, encoding: "buffer" });
  running.child.stdin?.on("error", () => undefined);
  running.child.stdin?.end(input);
  return (await running).stdout;
}

/** Lines that a checker complains with; none when it is content. */
export async function complaintsOf(argv: readonly string[], cwd: string): Promise<string[]> {
  try {
    await bytesOf(argv, cwd);
    return [];
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: Buffer; stderr?: Buffer };
    const words = [stdout, stderr].map((bytes) => bytes?.toString() ?? "").join("\n");
    const lines = words.split("\n").filter((line) => line.trim() !== "");
    if (lines.length > 0) return lines;
    throw error;
  }
}
