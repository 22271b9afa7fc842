import { createHash, X509Certificate } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Connection, connectTo } from "@cloudvlan/kit/client";
import { initCa, PROVISIONER } from "../step-ca/init.ts";
import { startCa } from "../step-ca/start.ts";
import { type Daemon, startDaemon } from "./daemon.ts";
import type { Programs } from "./programs.ts";
import type { Stages } from "./stages.ts";

const READY_MS = 60_000;
/** What the control plane logs when it has its database, and when it serves. */
const DATABASE_IS_OPEN = "the embedded database";
const SERVING = "serving";

export interface ControlPlaneSettings {
  /** Folder that keeps everything, 0700. A configuration that is there already stays. */
  readonly folder: string;
  readonly clusterId: string;
  /** Address to listen on. */
  readonly listen: string;
  /** Name or address in URLs. */
  readonly host: string;
  readonly port: number;
  /** Further names of the listener's certificate. */
  readonly names: readonly string[];
}

export interface ControlPlane {
  readonly url: string;
  /** DER. */
  readonly roots: readonly Uint8Array[];
  /** SHA-256 of the root certificate, hexadecimal. */
  readonly caSha256: string;
  readonly configFile: string;
  /** File with the platform owner's API key. */
  readonly ownerKeyFile: string;
  /** Resolves when its process ended by itself. */
  readonly ended: Promise<void>;
  /** A connection with the owner's rights. */
  connect(): Promise<Connection>;
  stop(): Promise<void>;
}

function configOf(settings: ControlPlaneSettings, ownerKeyFile: string, caUrl: string, provisionerKey: string): object {
  const { folder, clusterId, listen, host, port, names } = settings;
  return {
    cluster: clusterId,
    data: join(folder, "data"),
    url: `https://${host}:${port}`,
    listen: { address: listen, port, names: [...new Set([host, ...names])] },
    store: { kind: "pglite" },
    ca: { url: caUrl, root: join(folder, "ca", "root.pem"), provisioner: PROVISIONER, provisioner_key: provisionerKey },
    services: { auth: { owner_key_file: ownerKeyFile } },
  };
}

/** True when one of the messages begins a line of its log, undefined when none does. */
async function logged(daemon: Daemon, ...messages: readonly string[]): Promise<true | undefined> {
  const text = await daemon.output();
  return messages.some((message) => text.includes(`"msg":"${message}`)) || undefined;
}

/**
 * Starts step-ca and the control plane, each in a process of its own, on the data in a folder; a new folder gets a new CA.
 * @throws StartFailure naming the stage `ca`, `db` or `services`
 */
export async function startControlPlane(
  settings: ControlPlaneSettings,
  programs: Programs,
  stages: Stages,
): Promise<ControlPlane> {
  const { folder, clusterId, host, port } = settings;
  const url = `https://${host}:${port}`;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const ca = await stages.run("ca", async () => {
    const names = ["localhost", "127.0.0.1"];
    const files = await initCa(join(folder, "ca"), { clusterId, names, address: "127.0.0.1:0" });
    return { files, running: await startCa(join(folder, "ca"), programs.stepCa) };
  });
  const ownerKeyFile = join(folder, "platform-owner.key");
  const configFile = join(folder, "control-plane.yaml");
  // JSON is YAML.
  const config = configOf(settings, ownerKeyFile, ca.running.url, ca.files.provisionerKey);
  if (!existsSync(configFile))
    await writeFile(configFile, `${JSON.stringify(config, undefined, 2)}\n`, { mode: 0o600 });

  const argv = [programs.node, programs.controlPlane, "--config", configFile];
  const daemon = await startDaemon(argv, join(folder, "control-plane.log"));
  const stop = async (): Promise<void> => {
    await daemon.stop();
    await ca.running.stop();
  };
  try {
    await stages.run("db", () =>
      daemon.until("the database", READY_MS, () => logged(daemon, DATABASE_IS_OPEN, SERVING)),
    );
    await stages.run("services", () => daemon.until("the services", READY_MS, () => logged(daemon, SERVING)));
  } catch (error) {
    await stop();
    throw error;
  }
  const root = new X509Certificate(await readFile(ca.files.rootPem));
  return {
    url,
    roots: [new Uint8Array(root.raw)],
    caSha256: createHash("sha256").update(root.raw).digest("hex"),
    configFile,
    ownerKeyFile,
    ended: daemon.ended,
    connect: async () => {
      const bearer = (await readFile(ownerKeyFile, "utf8")).trim();
      return connectTo(url, { roots: [new Uint8Array(root.raw)], bearer });
    },
    stop,
  };
}
