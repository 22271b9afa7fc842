import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import * as z from "zod";
import type { Check } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import {
  checkController,
  checkDisk,
  checkState,
  checkTimeSync,
  checkTun,
  codeOf,
  fail,
  skipped,
} from "@cloudvlan/kit/diagnose";
import { Refusal } from "@cloudvlan/kit/errors";
import { certificatesOf } from "@cloudvlan/kit/pki";
import { localAgent } from "./agent-client.ts";
import type { Io } from "./io.ts";
import type { GlobalOptions } from "./session.ts";

/** Milliseconds for all checks of the agent together. */
const TIMEOUT_MS = 60_000;

/** What is read of `agent.json`. */
const membership = z.object({ controller_url: z.url({ protocol: /^https$/ }) });

/** The checks of the agent; what can be looked at without it when it does not answer. */
export async function* diagnosis(io: Io, options: GlobalOptions): AsyncGenerator<Check> {
  let answered = false;
  try {
    using agent = localAgent(options);
    for await (const { check } of agent.client.diagnose({}, { signal: io.signal, timeoutMs: TIMEOUT_MS })) {
      answered = true;
      if (check) yield check;
    }
    return;
  } catch (error) {
    if (answered || !isAbsence(error)) throw error;
    yield fail("agent", wordsOf(error), remedyOf(error));
  }
  yield await checkState(options.state);
  yield await checkDisk(options.state);
  yield await checkTun();
  yield* await controllerChecks(io, options.state);
  yield await checkTimeSync();
}

function isAbsence(error: unknown): boolean {
  if (error instanceof Refusal) return true;
  return error instanceof ConnectError && [Code.Unavailable, Code.DeadlineExceeded].includes(error.code);
}

function wordsOf(error: unknown): string {
  return error instanceof ConnectError ? error.rawMessage : codeOf(error);
}

function remedyOf(error: unknown): string {
  const remedy = error instanceof Refusal ? error.detail.remedy : undefined;
  return remedy ?? "start cvlan-agent (`systemctl start cvlan-agent`) and see its log";
}

/** By what the agent left on disk, when this user may read it. */
async function controllerChecks(io: Io, state: string): Promise<Check[]> {
  const names = ["reachability", "ca", "clock"];
  try {
    const { controller_url: url } = membership.parse(JSON.parse(await readFile(join(state, "agent.json"), "utf8")));
    const roots = certificatesOf(await readFile(join(state, "roots.pem"), "utf8"));
    return await checkController(url, roots, () => io.clock.nowMs());
  } catch (error) {
    const why =
      codeOf(error) === "ENOENT" ? "this machine has not joined" : `the membership under ${state} cannot be read`;
    return names.map((name) => skipped(name, why));
  }
}
