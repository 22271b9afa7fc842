import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { arch, hostname, platform, release, uptime, userInfo } from "node:os";
import { promisify } from "node:util";
import { type JsonValue, toJson } from "@bufbuild/protobuf";
import {
  type AgentStatus,
  AgentStatusSchema,
  CheckSchema,
  type CollectDebugResponse,
} from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { localAgent } from "../agent-client.ts";
import { diagnosis } from "../diagnosis.ts";
import type { Io } from "../io.ts";
import packageJson from "../package.json" with { type: "json" };
import { reportOf } from "../print.ts";
import type { GlobalOptions } from "../session.ts";

const run = promisify(execFile);
const COMMAND_TIMEOUT_MS = 10_000;
const MAX_OUTPUT = 16 * 1_024 * 1_024;

/** What goes into a bundle, before anything in it is replaced. */
export interface Collected {
  readonly status: AgentStatus | undefined;
  readonly debug: CollectDebugResponse | undefined;
  /** JSON documents by file name. */
  readonly documents: ReadonlyMap<string, JsonValue>;
  /** Logs and texts by file name; a log has a JSON object a line. */
  readonly texts: ReadonlyMap<string, string>;
  readonly host: { readonly name: string; readonly user: string };
}

/** Everything that can be had; what cannot is named in `missing.json`. */
export async function collect(io: Io, options: GlobalOptions): Promise<Collected> {
  const documents = new Map<string, JsonValue>();
  const texts = new Map<string, string>();
  const missing: Record<string, string> = {};
  const part = async <T>(name: string, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      missing[name] = reportOf(error).message;
      return undefined;
    }
  };

  const status = await part("status.json", async () => {
    using agent = localAgent(options);
    return (await agent.client.getStatus({}, { signal: io.signal })).status;
  });
  const debug = await part("agent.log", async () => {
    using agent = localAgent(options);
    return await agent.client.collectDebug({}, { signal: io.signal });
  });
  if (status) documents.set("status.json", toJson(AgentStatusSchema, status));
  if (debug) {
    documents.set("config.json", debug.config);
    texts.set("agent.log", linesOf(debug.logLines));
    texts.set("engine.log", linesOf(debug.engineLogLines));
  }
  await part("doctor.json", async () => {
    const checks: JsonValue[] = [];
    for await (const check of diagnosis(io, options)) checks.push(toJson(CheckSchema, check));
    documents.set("doctor.json", checks);
  });
  documents.set("versions.json", {
    cli: packageJson.version,
    agent: status?.version ?? "",
    engine: status?.engineVersion ?? "",
    controller: status?.controllerVersion ?? "",
    node: process.version,
    system: `${platform()} ${release()} ${arch()}`,
    uptime_seconds: Math.round(uptime()),
    made_at: new Date(io.clock.nowMs()).toISOString(),
  });
  await part("addresses.json", async () => void documents.set("addresses.json", await ip(["address"])));
  await part("routes.json", async () => {
    documents.set("routes.json", { ipv4: await ip(["-4", "route"]), ipv6: await ip(["-6", "route"]) });
  });
  await part("resolv.conf", async () => void texts.set("resolv.conf", await readFile("/etc/resolv.conf", "utf8")));
  documents.set("missing.json", missing);
  return { status, debug, documents, texts, host: { name: hostname(), user: userInfo().username } };
}

async function ip(args: readonly string[]): Promise<JsonValue> {
  const { stdout } = await run("ip", ["-j", ...args], { timeout: COMMAND_TIMEOUT_MS, maxBuffer: MAX_OUTPUT });
  return JSON.parse(stdout.trim() || "[]") as JsonValue;
}

function linesOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}
