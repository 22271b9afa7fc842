import { ParentBasedSampler, type Sampler, SamplingDecision, TraceIdRatioBasedSampler } from "@opentelemetry/sdk-trace";
import type { Clock } from "../clock/index.ts";

/** Calls a second that are recorded because their caller says so; as many again in a burst. Anybody may say so. */
const REMOTE_PER_SECOND = 200;

/** Records what a remote caller wants recorded, up to a rate. */
function limited(clock: Clock): Sampler {
  let tokens = 2 * REMOTE_PER_SECOND;
  let filledAt = clock.monotonicMs();
  return {
    shouldSample() {
      const now = clock.monotonicMs();
      tokens = Math.min(2 * REMOTE_PER_SECOND, tokens + ((now - filledAt) * REMOTE_PER_SECOND) / 1000);
      filledAt = now;
      if (tokens < 1) return { decision: SamplingDecision.NOT_RECORD };
      tokens -= 1;
      return { decision: SamplingDecision.RECORD_AND_SAMPLED };
    },
    toString: () => `Limited{${REMOTE_PER_SECOND}/s}`,
  };
}

/** @param ratio share of the traces that begin here which are recorded, 0 to 1. */
export function sampler(ratio: number, clock: Clock): Sampler {
  return new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio), remoteParentSampled: limited(clock) });
}
