import type { Io } from "./io.ts";

const TICK_MS = 1_000;
/** To the start of the line, which is cleared (ECMA-48: EL). */
const CLEAR = "\r\u001b[K";

/**
 * Says on standard error that something takes its time: a line that counts seconds on a terminal and is gone at the end, a
 * plain line elsewhere, nothing under `--json`.
 */
export async function working<T>(
  io: Io,
  { json }: { readonly json?: boolean },
  what: string,
  work: () => Promise<T>,
): Promise<T> {
  if (json) return await work();
  if (!io.terminal) {
    io.err(`${what} …\n`);
    return await work();
  }
  const since = io.clock.monotonicMs();
  const tell = () => io.err(`${CLEAR}${what} … ${Math.round((io.clock.monotonicMs() - since) / 1_000)} s`);
  tell();
  const ticks = setInterval(tell, TICK_MS);
  try {
    return await work();
  } finally {
    clearInterval(ticks);
    io.err(CLEAR);
  }
}
