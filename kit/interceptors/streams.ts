import type { Interceptor } from "@connectrpc/connect";
import { type Caller, callerKey } from "../caller/index.ts";
import { Refusal } from "../errors/index.ts";
import { formatSpiffe } from "../pki/index.ts";
import type { Denials } from "../server/denials.ts";
import type { LiveStreams } from "../server/live.ts";
import { tenantSubject } from "../server/standings.ts";

interface Identity {
  /** Its own, and its tenant's. */
  readonly subjects: readonly string[];
  readonly issuedAt: number;
}

function identityOf(caller: Caller, trustDomain: string): Identity | undefined {
  const { workload, authority } = caller;
  if (workload.kind === "node") {
    const { tenantId, nodeId, issuedAt } = workload;
    const subject = formatSpiffe({ trustDomain, kind: "node", tenantId, nodeId });
    return { subjects: [subject, tenantSubject(tenantId)], issuedAt };
  }
  if (workload.kind !== "none" || !authority) return undefined;
  const { subject, tenantId } = authority;
  // An API key is never issued anew under its id, so that any denial ends its streams.
  return { subjects: tenantId ? [subject, tenantSubject(tenantId)] : [subject], issuedAt: 0 };
}

/**
 * The same items until the signal; then the stream fails, also when its source looks at no signal. One step waits at a
 * time, and only that one is held: a race against a promise as old as the stream would keep every item alive.
 */
function untilCut<T>(items: AsyncIterable<T>, signal: AbortSignal): AsyncIterable<T> {
  let failStep = (_reason: Error): void => {};
  const reason = (): Error => (signal.reason instanceof Error ? signal.reason : new Error("the stream was cut"));
  signal.addEventListener("abort", () => failStep(reason()), { once: true });
  return {
    [Symbol.asyncIterator]() {
      const iterator = items[Symbol.asyncIterator]();
      return {
        next: () =>
          new Promise<IteratorResult<T>>((resolve, reject) => {
            if (signal.aborted) {
              reject(reason());
              return;
            }
            failStep = reject;
            iterator.next().then(resolve, reject);
          }),
        return: async () => (await iterator.return?.()) ?? { done: true, value: undefined },
      };
    },
  };
}

export interface StreamsOptions {
  readonly live: LiveStreams;
  readonly denials: Denials;
  readonly trustDomain: string;
  /** Ends every stream when the process drains. */
  readonly draining: AbortSignal;
}

/** Registers each server stream under the identity that opened it, so that a denial ends it at once. */
export function streamsInterceptor({ live, denials, trustDomain, draining }: StreamsOptions): Interceptor {
  return (next) => async (request) => {
    const caller = request.contextValues.get(callerKey);
    if (!caller) throw new Error("streams are registered without authn");
    if (!request.stream) return next(request);
    const controller = new AbortController();
    const identity = identityOf(caller, trustDomain);
    if (identity) {
      const entry = live.add(identity.subjects, identity.issuedAt, () => controller.abort(revoked()));
      const release = (): void => entry[Symbol.dispose]();
      request.signal.addEventListener("abort", release, { once: true });
      if (request.signal.aborted) release();
      // Since the credential was looked at the caller has taken its time to send a message: a denial may have come.
      if (identity.subjects.some((subject) => denials.isDenied(subject, identity.issuedAt))) {
        release();
        throw revoked();
      }
    }
    const signal = AbortSignal.any([request.signal, controller.signal, draining]);
    const response = await next({ ...request, signal });
    return response.stream ? { ...response, message: untilCut(response.message, signal) } : response;
  };
}

function revoked(): Refusal {
  return new Refusal("unauthenticated", "IDENTITY_DENIED", "the identity was revoked", {
    remedy: "join again, or use another API key",
  });
}
