import { execFile } from "node:child_process";
import { promisify } from "node:util";

/** Milliseconds after which an executable that does not say its build has none. */
const TIMEOUT_MS = 5_000;
const BUILD = /^[0-9a-f]{64}$/;

/**
 * Which build an executable is, as `GetIdentityResponse.build` says it of a running one.
 * @param path executable, or a name that is looked up in PATH.
 * @returns undefined when it does not say: it is not there, or of a version that hands nothing over.
 */
export async function buildOf(path: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(path, ["version", "--build"], {
      timeout: TIMEOUT_MS,
      maxBuffer: 4_096,
    });
    const build = stdout.trim();
    return BUILD.test(build) ? build : undefined;
  } catch {
    // Whatever it is, nothing is known to be newer than what runs.
    return undefined;
  }
}
