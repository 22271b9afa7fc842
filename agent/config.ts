import { parseArgs } from "node:util";
import * as z from "zod";
import { ConfigError, parseConfig, readConfigFile } from "@cloudvlan/kit/config";
import { scrapeAddressSchema, telemetrySchema } from "@cloudvlan/kit/telemetry";
import { forwardSchema, proxySchema } from "./userspace.ts";

/** A unix socket's path is at most 107 bytes; the longest here is `<state>/engine/engine.sock`. */
const MAX_STATE_PATH = 88;

export const agentConfigSchema = z.strictObject({
  /** Folder of this membership, absolute. */
  state: z
    .string()
    .startsWith("/", "must be an absolute path")
    .max(MAX_STATE_PATH, `must be at most ${MAX_STATE_PATH} characters: sockets lie in it`)
    .default("/var/lib/cloudvlan/node"),
  /** TUN interface. */
  interface: z
    .string()
    .regex(/^[a-zA-Z0-9_.-]{1,15}$/, "must be 1 to 15 of letters, digits, dot, hyphen, underscore")
    .default("cvlan0"),
  /** TUN, the engine's own network stack, or TUN where the host gives one and else the stack. */
  interface_kind: z.enum(["tun", "userspace", "auto"]).default("tun"),
  /** SOCKS 5 and HTTP into the overlay; without TUN only. */
  proxy: proxySchema.optional(),
  /** Without TUN only. */
  forwards: z.array(forwardSchema).max(64).default([]),
  /** Executable, or a name that is looked up in PATH. */
  engine: z.string().min(1).default("cvlan-engine"),
  /** UDP port; 0 lets the system choose once and keeps it. */
  listen_port: z.int().min(0).max(65_535).default(0),
  /** Bytes; 0 means the engine's default. */
  mtu: z
    .int()
    .refine((mtu) => mtu === 0 || (mtu >= 1_280 && mtu <= 9_000), "must be 0 or 1280 to 9000")
    .default(0),
  /** Whether the host is made to resolve names of the overlay. */
  resolver: z.enum(["auto", "off"]).default("auto"),
  log_level: z.enum(["debug", "info", "warn", "error"]).default("info"),
  telemetry: telemetrySchema
    .extend({
      /** Where the engine shows its figures; in force from its next start. */
      engine_metrics: scrapeAddressSchema.optional(),
    })
    .optional(),
});

export type AgentConfig = z.infer<typeof agentConfigSchema>;

export const USAGE = `usage: cvlan-agent [--config FILE] [--state DIR] [--interface NAME] [--engine PATH]
                   [--listen-port N] [--mtu N] [--resolver auto|off]
                   [--interface-kind tun|userspace|auto] [--proxy ADDRESS:PORT]
                   [--log-level debug|info|warn|error]
       cvlan-agent --stop-engine [--config FILE] [--state DIR]
       cvlan-agent --restore-host [--config FILE] [--state DIR]

Runs one membership of this machine. Flags win over the file, whose keys are: state, interface, engine, listen_port, mtu,
interface_kind, proxy, forwards, resolver, log_level, telemetry (otlp, metrics, engine_metrics, sample_ratio). The engine keeps
forwarding when the agent ends; --stop-engine ends it.
With resolver auto the host resolves names of the overlay while the engine answers them, by systemd-resolved or
/etc/resolv.conf; with off the host is left alone, and names are answered on the loopback address in the status.
With interface kind userspace the engine needs no TUN and no privilege: programs reach the overlay by the proxy (SOCKS 5 and
HTTP on a loopback address) and by forwards, each with direction (into_overlay or from_overlay), protocol (tcp or udp),
listen and target. With auto it is used where the host gives no TUN; the status says which.
--restore-host puts the host's resolver back after a crash, unless the engine still answers.
`;

export interface Invocation {
  readonly config: AgentConfig;
  /** What to do instead of running. */
  readonly only: "stop-engine" | "restore-host" | undefined;
}

/**
 * Configuration from flags and file.
 * @param argv arguments after the program's name.
 * @throws ConfigError naming what is wrong, where, and the remedy.
 */
export function readInvocation(argv: readonly string[]): Invocation {
  const flags = parseFlags(argv);
  const fromFile =
    flags.config === undefined
      ? {}
      : parseConfig(flags.config, readConfigFile(flags.config), agentConfigSchema.partial());
  const fromFlags = {
    ...(flags.state !== undefined && { state: flags.state }),
    ...(flags.interface !== undefined && { interface: flags.interface }),
    ...(flags.engine !== undefined && { engine: flags.engine }),
    ...(flags["listen-port"] !== undefined && { listen_port: wholeNumber(flags["listen-port"]) }),
    ...(flags.mtu !== undefined && { mtu: wholeNumber(flags.mtu) }),
    ...(flags["interface-kind"] !== undefined && { interface_kind: flags["interface-kind"] }),
    ...(flags.proxy !== undefined && { proxy: flags.proxy }),
    ...(flags.resolver !== undefined && { resolver: flags.resolver }),
    ...(flags["log-level"] !== undefined && { log_level: flags["log-level"] }),
  };
  const result = agentConfigSchema.safeParse({ ...fromFile, ...fromFlags });
  if (result.success) refuseUnusedOffers(result.data);
  if (result.success) return { config: result.data, only: onlyOf(flags) };
  throw usageError(result.error.issues.map(({ path, message }) => ({ key: path.join("."), message })));
}

/** What leads into the stack would lead nowhere while a TUN interface is used. */
function refuseUnusedOffers({ interface_kind, proxy, forwards }: AgentConfig): void {
  const unused = proxy !== undefined ? "proxy" : forwards.length > 0 ? "forwards" : undefined;
  if (interface_kind !== "tun" || unused === undefined) return;
  const message = "needs interface_kind userspace or auto: with TUN every program reaches the overlay by itself";
  throw usageError([{ key: unused, message }]);
}

function parseFlags(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      strict: true,
      allowPositionals: false,
      options: {
        config: { type: "string" },
        state: { type: "string" },
        interface: { type: "string" },
        engine: { type: "string" },
        "listen-port": { type: "string" },
        mtu: { type: "string" },
        resolver: { type: "string" },
        "interface-kind": { type: "string" },
        proxy: { type: "string" },
        "log-level": { type: "string" },
        "stop-engine": { type: "boolean" },
        "restore-host": { type: "boolean" },
      },
    }).values;
  } catch (error) {
    throw usageError([{ key: "", message: error instanceof Error ? error.message : String(error) }]);
  }
}

function onlyOf(flags: ReturnType<typeof parseFlags>): Invocation["only"] {
  if (flags["stop-engine"]) return "stop-engine";
  return flags["restore-host"] ? "restore-host" : undefined;
}

function wholeNumber(text: string): number {
  return /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
}

function usageError(problems: readonly { key: string; message: string }[]): ConfigError {
  return new ConfigError(
    "cvlan-agent",
    problems.map(({ key, message }) => ({ position: "", key, message })),
  );
}
