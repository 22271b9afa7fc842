import { create } from "@bufbuild/protobuf";
import { type Settings, SettingsSchema } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { Logger } from "@cloudvlan/kit/log";
import { inSpan } from "@cloudvlan/kit/telemetry";
import { type Cell, cell, present } from "../state/cell.ts";
import { listenAddress } from "../resolver/listen.ts";
import type { Membership } from "../state/membership.ts";
import type { Cause } from "../state/cause.ts";
import { explainError, type Problems } from "../state/problems.ts";
import { type BackoffBounds, fullJitter, sleep } from "../time/backoff.ts";
import { type InterfaceSettings, offersOf } from "./offers.ts";
import type { RunningEngine } from "./running.ts";
import type { EngineLink } from "./supervise.ts";

/** How the engine meets this host. */
export interface LocalSettings {
  readonly interfaceName: string;
  /** UDP port; 0 lets the system choose once. */
  readonly listenPort: number;
  /** Bytes; 0 means the engine's default. */
  readonly mtu: number;
  readonly attachment: InterfaceSettings;
}

/** DNS servers speak on it (RFC 1035, section 4.2). */
const DNS_PORT = 53;

/** An engine that believes in this node's membership. */
export type ConfiguredEngine = Cell<RunningEngine | undefined>;

export interface ConfigureOptions {
  readonly local: LocalSettings;
  readonly membership: Cell<Membership | undefined>;
  readonly cause: Cause;
  /** Name servers of the host; undefined until they are known. */
  readonly nameservers: Cell<readonly string[] | undefined>;
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
    const membership = await present(options.membership, signal);
    const nameservers = await present(options.nameservers, signal);
    const wanted = cell<Wanted>({ engine: undefined, nameservers });
    const follow = async () => {
      for await (const engine of link.running.values(signal)) wanted.set({ ...wanted.get(), engine });
    };
    const listen = async () => {
      for await (const now of options.nameservers.values(signal)) {
        if (now && now !== wanted.get().nameservers) wanted.set({ ...wanted.get(), nameservers: now });
      }
    };
    const declare = async () => {
      for await (const now of wanted.values(signal)) {
        if (now.engine !== configured.get()) configured.set(undefined);
        const isWanted = () => wanted.get() === now && !signal.aborted;
        if (now.engine) await configure(now.engine, settingsOf(membership, options.local, now.nameservers), isWanted);
      }
    };
    await Promise.all([follow(), listen(), declare()]);
  };
  const configure = async (engine: RunningEngine, settings: Settings, isWanted: () => boolean) => {
    for (let attempt = 0; isWanted(); attempt += 1) {
      try {
        await options.cause.first("settings", () => inSpan("agent.configure", {}, () => engine.apply({ settings })));
        options.problems.clear("engine");
        configured.set(engine);
        return;
      } catch (error) {
        if (options.problems.report("engine", error)) {
          options.log.error({ why: explainError(error).message }, "the engine does not take its settings");
        }
        // It may still run by the settings it kept: the map is carried on meanwhile.
        if (link.status.get()?.membership?.nodeId === settings.membership?.nodeId) configured.set(engine);
        await sleep(fullJitter(attempt, RETRY), signal);
      }
    }
  };
  return { configured, done: run() };
}

/** The engine that runs, and what it is to be told of the host. */
interface Wanted {
  readonly engine: RunningEngine | undefined;
  readonly nameservers: readonly string[];
}

function settingsOf(membership: Membership, local: LocalSettings, nameservers: readonly string[]): Settings {
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
    ...offersOf(local.attachment),
    ...(local.attachment.kind !== "userspace" && {
      dnsListen: { address: listenAddress(membership.cvlan_id), port: DNS_PORT },
    }),
    dnsFallback: nameservers.map((address) => ({ address })),
  });
}
