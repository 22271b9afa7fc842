import type { Refusal } from "../errors/index.ts";
import type { Logger } from "../log/index.ts";
import { count, METRICS } from "../telemetry/index.ts";

/** Counts refusals that no audit log has: they cost one log line a minute, however many there are. */
export interface RefusalCounter extends Disposable {
  count(refusal: Refusal): void;
}

const MINUTE_MS = 60_000;
/** Distinct reasons are few and ours; the bound is a guard. */
const MAX_REASONS = 100;

export function refusalCounter(log: Logger, intervalMs: number = MINUTE_MS): RefusalCounter {
  let counts: Record<string, number> = {};

  function flush(): void {
    if (Object.keys(counts).length === 0) return;
    log.info({ refused: counts }, "requests refused without a row in an audit log");
    counts = {};
  }

  const timer = setInterval(flush, intervalMs).unref();
  return {
    count(refusal) {
      const reason = refusal.detail.auditReason ?? refusal.reason;
      count(METRICS.refusals, { reason });
      if (reason in counts || Object.keys(counts).length < MAX_REASONS) counts[reason] = (counts[reason] ?? 0) + 1;
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      flush();
    },
  };
}
