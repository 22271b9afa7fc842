import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { systemClock } from "../clock/index.ts";
import { withHooks } from "../interceptors/iterables.ts";
import { explainFailure } from "./node-errors.ts";

/** Milliseconds a unary call gets when its caller says nothing. */
export const DEFAULT_TIMEOUT_MS = 15_000;
const FIRST_PAUSE_MS = 100;
const LAST_PAUSE_MS = 2_000;
const MAX_ATTEMPTS = 5;

function mayRepeat(method: DescMethod): boolean {
  return method.idempotency !== MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN && method.idempotency !== undefined;
}

/** Full jitter: anything up to a ceiling that doubles (100 ms to 2 s). */
function pauseMs(attempt: number): number {
  return randomInt(0, Math.min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt) + 1);
}

/**
 * A transport with deadlines on unary calls, errors that say what is wrong, and repetition of what the contract calls
 * idempotent while the other side is unavailable. A stream is never repeated: its reader knows where to resume.
 */
export function resilient(transport: Transport, target: string): Transport {
  return {
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      const end = systemClock.monotonicMs() + (timeoutMs ?? DEFAULT_TIMEOUT_MS);
      for (let attempt = 0; ; attempt++) {
        const left = Math.max(1, Math.ceil(end - systemClock.monotonicMs()));
        try {
          return await transport.unary(method, signal, left, header, input, contextValues);
        } catch (error) {
          const told = explainFailure(error, target);
          const pause = pauseMs(attempt);
          const inTime = systemClock.monotonicMs() + pause < end && attempt + 1 < MAX_ATTEMPTS;
          if (told.code !== Code.Unavailable || !mayRepeat(method) || !inTime || signal?.aborted === true) throw told;
          await sleep(pause, undefined, signal ? { signal } : {}).catch(() => {
            throw new ConnectError("the call was cancelled", Code.Canceled);
          });
        }
      }
    },
    async stream(method, signal, timeoutMs, header, input, contextValues) {
      const convert = (error: unknown): ConnectError => explainFailure(error, target);
      try {
        const response = await transport.stream(method, signal, timeoutMs, header, input, contextValues);
        return { ...response, message: withHooks(response.message, { convert }) };
      } catch (error) {
        throw convert(error);
      }
    },
  };
}
