import { AsyncLocalStorage } from "node:async_hooks";
import { context, ROOT_CONTEXT } from "@opentelemetry/api";

/** What code that runs for a request knows without being told: outgoing calls and log lines read it. */
export interface RequestScope {
  readonly requestId: string;
  /** Verified call context, as the header that carries it; outgoing calls to services forward it. */
  readonly callContext: string | undefined;
  /** Ends with the request; set for unary RPCs, whose outgoing calls must not outlive them. */
  readonly signal: AbortSignal | undefined;
  /** True once the answer is given: work that outlives its request must not borrow its authority. */
  done: boolean;
}

const storage = new AsyncLocalStorage<RequestScope>();

/** The scope of the request that this code runs for; undefined outside of one, and after its end. */
export function currentScope(): RequestScope | undefined {
  const scope = storage.getStore();
  return scope === undefined || scope.done ? undefined : scope;
}

export function runInScope<T>(scope: RequestScope, work: () => T): T {
  return storage.run(scope, work);
}

/**
 * Runs work that serves more than the request which happened to start it, for example a shared projection; it belongs to
 * no trace either.
 */
export function outsideScope<T>(work: () => T): T {
  return storage.exit(() => context.with(ROOT_CONTEXT, work));
}
