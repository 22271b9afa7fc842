import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Connection } from "@cloudvlan/kit/client";
import { connectAsOwner, hasLogged, startSiteCa, workerOf, writeWorkerConfig } from "../site/control-plane.ts";
import type { Programs } from "./programs.ts";
import type { Stages } from "./stages.ts";

/** What the control plane logs when it has its database. */
const DATABASE_IS_OPEN = "the embedded database";

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
  /** An empty database to begin with; without it one is made. */
  readonly databaseTemplate?: string;
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

/**
 * Starts step-ca and the control plane, each in a process of its own, on the data in a folder; a new folder gets a new CA.
 * @throws StartFailure naming the stage `ca`, `db` or `services`
 */
export async function startControlPlane(
  settings: ControlPlaneSettings,
  programs: Programs,
  stages: Stages,
): Promise<ControlPlane> {
  const { folder, clusterId, listen, host, port, names, databaseTemplate } = settings;
  const url = `https://${host}:${port}`;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const ca = await stages.run("ca", () => startSiteCa(join(folder, "ca"), clusterId, programs.stepCa));
  const ownerKeyFile = join(folder, "platform-owner.key");
  const configFile = join(folder, "control-plane.yaml");
  if (!existsSync(configFile)) {
    await writeWorkerConfig(configFile, {
      clusterId,
      data: join(folder, "data"),
      url,
      listen: { address: listen, port, names: [...new Set([host, ...names])] },
      store: { kind: "pglite", ...(databaseTemplate !== undefined && { template: databaseTemplate }) },
      ca,
      ownerKeyFile,
    });
  }

  const worker = workerOf(programs, configFile, join(folder, "control-plane.log"));
  const stop = async (): Promise<void> => {
    await worker.stop();
    await ca.stop();
  };
  try {
    await worker.start();
    await stages.run("db", () => hasLogged(worker, "the database", DATABASE_IS_OPEN));
    await stages.run("services", () => hasLogged(worker, "the services"));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url,
    roots: ca.roots,
    caSha256: ca.caSha256,
    configFile,
    ownerKeyFile,
    ended: worker.ended,
    connect: () => connectAsOwner(url, ca.roots, ownerKeyFile),
    stop,
  };
}
