import { AsyncLocalStorage } from "node:async_hooks";

const scope = new AsyncLocalStorage<{ open: boolean }>();

/** True while the caller runs inside a database transaction; false again for what outlives it. */
export function inTransaction(): boolean {
  return scope.getStore()?.open ?? false;
}

/**
 * Runs `work` as the inside of a transaction.
 * @throws Error when it is one already: a second connection taken while the first holds locks can wait for itself.
 */
export async function transactionScope<T>(work: () => Promise<T>): Promise<T> {
  if (inTransaction()) throw new Error("a transaction was opened inside a transaction; pass the open one on");
  const state = { open: true };
  try {
    return await scope.run(state, work);
  } finally {
    state.open = false;
  }
}
