import { captureTrace, outsideTrace } from "@cloudvlan/kit/telemetry";

/** What a join sets in motion and others carry out. */
export type Consequence = "settings" | "map stream" | "map";

/** The first of each thing that a join sets in motion belongs to the join's trace, whoever carries it out. */
export interface Cause {
  /** Remembers the trace that is active: that of a join. */
  begin(): void;
  /** Runs the work in that trace, once for each consequence; later in none. */
  first<T>(consequence: Consequence, work: () => T): T;
}

export function joinCause(): Cause {
  const open = new Set<Consequence>();
  let inJoin = outsideTrace(captureTrace);
  return {
    begin() {
      inJoin = captureTrace();
      for (const consequence of ["settings", "map stream", "map"] as const) open.add(consequence);
    },
    first: (consequence, work) => (open.delete(consequence) ? inJoin(work) : outsideTrace(work)),
  };
}
