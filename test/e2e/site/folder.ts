import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requireQuiet } from "./loud.ts";

/** A folder for the files of processes, among them their logs. It is gone when it is disposed of. */
export interface SiteFolder extends AsyncDisposable {
  readonly path: string;
}

export interface SiteFolderOptions {
  /** Lines of WARN and above that the test provokes: none when absent. */
  readonly provokes?: readonly RegExp[] | undefined;
  /** Prepares the folder; what it returns is disposed of after the logs were read. */
  readonly prepare?: ((folder: string) => Promise<AsyncDisposable>) | undefined;
}

/**
 * Makes a folder. To dispose of it, after the processes in it, fails by every line of WARN and above that stands in a log
 * there and is not among those the test provokes.
 */
export async function siteFolder(prefix: string, options: SiteFolderOptions = {}): Promise<SiteFolder> {
  await using cleanup = new AsyncDisposableStack();
  const path = await mkdtemp(join(tmpdir(), prefix));
  cleanup.defer(() => rm(path, { recursive: true, force: true, maxRetries: 10 }));
  if (options.prepare) cleanup.use(await options.prepare(path));
  cleanup.defer(() => requireQuiet(path, options.provokes ?? []));
  const kept = cleanup.move();
  return { path, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}
