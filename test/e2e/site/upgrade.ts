import { join } from "node:path";
import { hasLogged, workerOf } from "@cloudvlan/infra/site/control-plane";
import { type NodePrograms, type SiteNode, siteNode } from "@cloudvlan/infra/site/node";
import type { Program } from "@cloudvlan/infra/site/process";
import { type Programs, programsOf } from "@cloudvlan/infra/start/programs";
import type { Connection } from "@cloudvlan/kit/client";
import { createLab, type Lab } from "@cloudvlan/test/lab";
import { type ControlPlaneOptions, type SiteControlPlane, startSiteControlPlane } from "./control-plane.ts";
import { siteFolder } from "./folder.ts";
import { hostsNetwork } from "./hosts.ts";
import { createSiteTenant, type SiteTenant } from "./tenant.ts";

/** The former one is the commit that the set-up pins. */
export type Version = "former" | "present";

/** Who may run what the former version was: false without a build of it. */
export const hasFormerVersion = process.env["CLOUDVLAN_FORMER"] !== undefined;
/** What a suite says that is skipped for the lack of it. */
export const NEEDS_FORMER = `needs the commit ${process.env["CLOUDVLAN_FORMER_COMMIT"] ?? "of the former version"} in the clone's history`;

function programsOfVersion(version: Version): Programs & NodePrograms {
  const present = programsOf(process.env, process.execPath);
  if (version === "present") return present;
  const folder = process.env["CLOUDVLAN_FORMER"];
  if (folder === undefined) throw new Error(NEEDS_FORMER);
  return {
    ...present,
    controlPlane: join(folder, "services/all/main.ts"),
    agent: join(folder, "agent/main.ts"),
    cli: join(folder, "cli/main.ts"),
    engine: join(folder, "bin/cvlan-engine"),
    resolver: false,
  };
}

/** A control plane that begins as the former version, and machines of either. */
export interface UpgradeSite extends AsyncDisposable {
  readonly lab: Lab;
  readonly control: SiteControlPlane;
  readonly api: Connection;
  readonly tenant: SiteTenant;
  readonly folder: string;
  /** A machine's agent and engine in a version; both versions of one machine have the same state folder. */
  machine(name: string, version: Version): Promise<SiteNode>;
  /** Ends a worker and starts it in a version on its configuration and data. */
  changeWorker(index: number, to: Version): Promise<void>;
}

/** @param provokes lines of WARN and above that the test is about */
export async function startUpgradeSite(
  hosts: readonly string[],
  options: ControlPlaneOptions,
  provokes: readonly RegExp[],
): Promise<UpgradeSite> {
  await using cleanup = new AsyncDisposableStack();
  const { path: folder } = cleanup.use(await siteFolder("cv-e2e-", { provokes }));
  const network = hostsNetwork(72, hosts);
  const former = programsOfVersion("former");
  const lab = cleanup.use(await createLab(network.topology, { captureProgram: former.lab }));
  const control = cleanup.use(await startSiteControlPlane(folder, network.controlAddress, options, former));
  const workers: Program[] = [...control.workers];
  cleanup.defer(async () => void (await Promise.all(workers.map((worker) => worker.end("SIGKILL")))));
  const api = await control.connect();
  cleanup.defer(() => api.close());
  const tenant = await createSiteTenant(api, "upgrade");
  const kept = cleanup.move();
  return {
    lab,
    control,
    api,
    tenant,
    folder,
    machine: async (name, version) => kept.use(await siteNode(lab, name, folder, programsOfVersion(version))),
    changeWorker: async (index, to) => {
      await workers[index]?.stop();
      const [config, log] = [join(folder, `worker-${index}.yaml`), join(folder, `worker-${index}.log`)];
      const worker = workerOf(programsOfVersion(to), config, log);
      workers[index] = worker;
      await worker.start();
      await hasLogged(worker, `worker ${index} of the ${to} version serves`);
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
