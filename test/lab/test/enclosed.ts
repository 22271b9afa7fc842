import assert from "node:assert/strict";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { asOrdinaryUser, enclosed, run } from "../index.ts";

/** A scenario that takes so long waits for what does not come. */
const CEILING_MS = 170_000;
const isRoot = process.getuid?.() === 0;

/** As whom scenarios run: as an ordinary user too where this is root. */
export const USERS: readonly ("root" | "an ordinary user")[] = isRoot
  ? ["root", "an ordinary user"]
  : ["an ordinary user"];

/** Whether routers can translate here. */
export async function hasNft(): Promise<boolean> {
  return (await run(["sh", "-c", "command -v nft"])).code === 0;
}

/** Runs a program in an enclosure of its own and returns the JSON line it prints. */
export async function runScenario<Seen>(user: (typeof USERS)[number], program: string): Promise<Seen> {
  const as = user === "root" ? "root" : "mapped-root";
  const argv = enclosed([process.execPath, program], { as, net: true });
  const { code, stdout, stderr } = await run(user === "root" || !isRoot ? argv : await asNobody(argv), {
    signal: AbortSignal.timeout(CEILING_MS),
  });
  assert.equal(code, 0, stderr || `it did not end within ${CEILING_MS} ms`);
  return JSON.parse(stdout) as Seen;
}

async function asNobody(argv: readonly string[]): Promise<string[]> {
  const visible = [fileURLToPath(new URL("../../..", import.meta.url)).replace(/\/$/, "")];
  for (const name of ["CLOUDVLAN_LAB", "CLOUDVLAN_DEBIAN_PROGRAMS"]) {
    const path = process.env[name];
    if (path !== undefined) visible.push(dirname(path));
  }
  return asOrdinaryUser(argv, visible);
}
