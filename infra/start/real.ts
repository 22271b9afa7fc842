import { existsSync } from "node:fs";
import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import { systemClock } from "@cloudvlan/kit/clock";
import { parseConfig, processConfigSchema, readConfigFile } from "@cloudvlan/kit/config";
import { newId } from "@cloudvlan/kit/ids";
import { type ControlPlane, type ControlPlaneSettings, startControlPlane } from "./control-plane.ts";
import type { Programs } from "./programs.ts";
import type { Stages } from "./stages.ts";

const PORT = 8443;

function addresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  return all.filter(({ internal, family }) => !internal && family === "IPv4").map(({ address }) => address);
}

/** Settings of a first start: every address of this machine, the first one in URLs. */
function firstSettings(folder: string): ControlPlaneSettings {
  const own = addresses();
  return {
    folder,
    clusterId: newId("cluster", systemClock.nowMs()),
    listen: "0.0.0.0",
    host: own[0] ?? "127.0.0.1",
    port: PORT,
    names: [...own, hostname(), "localhost", "127.0.0.1"],
  };
}

/** Settings as an earlier start wrote them, with what the operator changed since. @throws ConfigError */
function keptSettings(folder: string, configFile: string): ControlPlaneSettings {
  const { cluster, url, listen } = parseConfig(configFile, readConfigFile(configFile), processConfigSchema);
  const { hostname: host, port } = new URL(url);
  if (cluster === undefined)
    throw new Error(`${configFile} names no cluster; put back the line that the first start wrote`);
  return { folder, clusterId: cluster, listen: listen.address, host, port: Number(port || 443), names: listen.names };
}

/**
 * Runs the control plane on data that stays.
 * @param folder made by the first start; its control-plane.yaml is the operator's from then on
 */
export async function runReal(folder: string, programs: Programs, stages: Stages): Promise<ControlPlane> {
  const configFile = join(folder, "control-plane.yaml");
  const settings = existsSync(configFile) ? keptSettings(folder, configFile) : firstSettings(folder);
  return await startControlPlane(settings, programs, stages);
}

/** What to type next. */
export function instructions(control: ControlPlane, cli: string): string[] {
  const login = `${cli} login --controller ${control.url} --ca-sha256 ${control.caSha256} --key-file ${control.ownerKeyFile}`;
  return [
    `control plane   ${control.url}`,
    `configuration   ${control.configFile}`,
    `owner's key     ${control.ownerKeyFile}`,
    "",
    "log in, make a tenant and a network, allow something, and let a machine in:",
    `  ${login}`,
    `  ${cli} tenant create acme && ${cli} --tenant acme cvlan create main`,
    `  ${cli} --tenant acme policy apply policy.yaml`,
    `  ${cli} --tenant acme token create | ssh MACHINE cvlan join      (cvlan-agent runs on MACHINE)`,
  ];
}
