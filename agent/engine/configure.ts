import { create } from "@bufbuild/protobuf";
import { type Settings, SettingsSchema } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { Logger } from "@cloudvlan/kit/log";
import { inSpan } from "@cloudvlan/kit/telemetry";
import { type Cell, cell, present } from "../state/cell.ts";
import type { Membership } from "../state/membership.ts";
import type { Cause } from "../state/cause.ts";
import type { Problems } from "../state/problems.ts";
import { type BackoffBounds, fullJitter, sleep } from "../time/backoff.ts";
import type { RunningEngine } from "./running.ts";
import type { EngineLink } from "./supervise.ts";

/** How the engine meets this host. */
export interface LocalSettings {
  readonly interfaceName: string;
  /** UDP port; 0 lets the system choose once. */
  readonly listenPort: number;
  /** Bytes; 0 means the engine's default. */
  readonly mtu: number;
}

/** An engine that believes in this node's membership. */
export type ConfiguredEngine = Cell<RunningEngine | undefined>;

export interface ConfigureOptions {
  readonly local: LocalSettings;
  readonly membership: Cell<Membership | undefined>;
  readonly cause: Cause;
  readonly problems: Problems;
  readonly log: Logger;
}

const RETRY: BackoffBounds = { minMs: 200, maxMs: 10_000 };

/** Gives each engine instance its settings, again with backoff while it refuses them, until the signal aborts. */
export function keepConfigured(
  link: EngineLink,
  options: ConfigureOptions,
  signal: AbortSignal,
): { configured: ConfiguredEngine; done: Promise<void> } {
  const configured = cell<RunningEngine | undefined>(undefined);
  const run = async () => {
    const settings = settingsOf(await present(options.membership, signal), options.local);
    for await (const engine of link.running.values(signal)) {
      configured.set(undefined);
      if (engine) await configure(engine, settings);
    }
  };
  const configure = async (engine: RunningEngine, settings: Settings) => {
    for (let attempt = 0; link.running.get() === engine && !signal.aborted; attempt += 1) {
      try {
        await options.cause.first("settings", () => inSpan("agent.configure", {}, () => engine.apply({ settings })));
        options.problems.clear("engine");
        configured.set(engine);
        return;
      } catch (error) {
        if (options.problems.report("engine", error)) {
          options.log.error({ error }, "the engine refuses its settings");
        }
        // It may still run by the settings it kept: the map is carried on meanwhile.
        if (link.status.get()?.membership?.nodeId === settings.membership?.nodeId) configured.set(engine);
        await sleep(fullJitter(attempt, RETRY), signal);
      }
    }
  };
  return { configured, done: run() };
}

function settingsOf(membership: Membership, local: LocalSettings): Settings {
  return create(SettingsSchema, {
    membership: {
      tenantId: membership.tenant_id,
      cvlanId: membership.cvlan_id,
      nodeId: membership.node_id,
      rootPublicKey: Buffer.from(membership.root_public_key, "base64"),
    },
    interfaceName: local.interfaceName,
    listenPort: local.listenPort,
    mtu: local.mtu,
  });
}
