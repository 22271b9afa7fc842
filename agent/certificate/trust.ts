import { followTrustBundle } from "@cloudvlan/kit/client";
import type { Logger } from "@cloudvlan/kit/log";
import type { ControllerView } from "../controller/view.ts";
import type { Cell } from "../state/cell.ts";
import { explainError } from "../state/problems.ts";
import { keepIdentity } from "./files.ts";
import type { TlsIdentity } from "./identity.ts";

export interface TrustOptions {
  readonly state: string;
  /** Of the controller. */
  readonly url: string;
  readonly view: Cell<ControllerView>;
  readonly identity: Cell<TlsIdentity>;
  readonly log: Logger;
}

/**
 * Finds the root that took the place of the known ones while this machine was away, each time the controller is not
 * trusted, until the signal aborts: only by what the known ones certified. While it is reached, roots come with each renewal.
 */
export async function keepTrust({ state, url, view, identity, log }: TrustOptions, signal: AbortSignal): Promise<void> {
  for await (const { untrusted } of view.values(signal)) {
    if (!untrusted) continue;
    try {
      const roots = await followTrustBundle(url, identity.get().roots);
      const known = identity.get();
      const found = roots.filter((root) => !known.roots.some((other) => Buffer.compare(root, other) === 0));
      if (found.length === 0) continue;
      const trusting = { ...known, roots: [...known.roots, ...found] };
      await keepIdentity(state, trusting);
      identity.set(trusting);
      log.info({ roots: found.length }, "the controller's CA has a new root, which the former one certified");
    } catch (error) {
      log.debug({ why: explainError(error).message }, "no known root leads to one of the controller");
    }
  }
}
