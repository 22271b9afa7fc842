import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** Root of the clone. */
export const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

/** Output of a program. @throws Error with what it wrote when it fails */
export async function outputOf(argv: readonly string[]): Promise<string> {
  const [program = "", ...args] = argv;
  try {
    return (await promisify(execFile)(program, args, { cwd: root, maxBuffer: 1 << 24 })).stdout;
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    throw new Error(`${stdout}\n${stderr}`.trim(), { cause: error });
  }
}

/** A program that the set-up made. */
export function made(name: string): string {
  const path = process.env[name];
  if (path === undefined) throw new Error(`${name} is not set: run this by \`npm test\``);
  return path;
}
