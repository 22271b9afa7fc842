import { loudLines } from "@cloudvlan/infra/site/loud";

/** What an agent says while its controller, or the way to it, is gone. */
export const CONTROLLER_GONE: readonly RegExp[] = [
  /"controller unreachable"/,
  /"endpoints not reported yet"/,
  /"map streams break young here; polling for a while"/,
];
/** What an agent says when its engine was killed, whatever the two were at. */
export const ENGINE_KILLED: readonly RegExp[] = [
  /"msg":"engine failed"/,
  /"msg":"the engine does not take (its settings|the map)"/,
  // An engine that goes away in the middle of `ip` takes the interface along.
  /"msg":"addresses or routes could not be set"/,
];
/** What the agent of a revoked node says. */
export const NODE_REVOKED: readonly RegExp[] = [/"this node was revoked; it tries again rarely"/];
/** What a worker says that was stopped for a while. */
export const WORKER_ASLEEP: readonly RegExp[] = [/"msg":"auth is not heard: nodes are refused"/];

/** @throws Error with the lines, when there are any that nobody provoked. */
export async function requireQuiet(folder: string, provoked: readonly RegExp[]): Promise<void> {
  const lines = await loudLines(folder, provoked);
  if (lines.length === 0) return;
  const shown = lines
    .slice(0, 20)
    .map((line) => (line.length > 600 ? `${line.slice(0, 300)} … ${line.slice(-300)}` : line));
  throw new Error(`${lines.length} lines of WARN and above that the test does not provoke:\n${shown.join("\n")}`);
}
