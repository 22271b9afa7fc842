import type { StreamRequest } from "@connectrpc/connect";

/** What to do around each step of a stream. */
export interface StepHooks {
  /** Runs a step, for example inside a request scope. */
  readonly around?: <T>(step: () => Promise<T>) => Promise<T>;
  /** Turns what a step throws into what the caller is told. */
  readonly convert?: (error: unknown) => unknown;
}

/** The same items, with hooks around each step and without the cost of another generator. */
export function withHooks<T>(items: AsyncIterable<T>, hooks: StepHooks): AsyncIterable<T> {
  const { around = (step) => step(), convert } = hooks;
  const guarded = <R>(step: () => Promise<R>): Promise<R> =>
    convert === undefined
      ? around(step)
      : around(step).catch((error: unknown) => {
          throw convert(error);
        });
  return {
    [Symbol.asyncIterator]() {
      const iterator = items[Symbol.asyncIterator]();
      return {
        next: () => guarded(() => iterator.next()),
        return: () => guarded(async () => (await iterator.return?.()) ?? { done: true, value: undefined }),
        throw: (error: unknown) =>
          guarded(async () => {
            if (iterator.throw) return iterator.throw(error);
            throw error;
          }),
      };
    },
  };
}

/**
 * Checks the first message of a stream request before the handler gets any of it.
 * @param check throws to refuse.
 */
export async function checkFirst(request: StreamRequest, check: (message: unknown) => void): Promise<StreamRequest> {
  const iterator = request.message[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done !== true) check(first.value);
  let pending: typeof first | undefined = first;
  const message = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        if (pending === undefined) return iterator.next();
        const result = pending;
        pending = undefined;
        return Promise.resolve(result);
      },
      return: async () => (await iterator.return?.()) ?? { done: true as const, value: undefined },
    }),
  };
  return { ...request, message };
}
