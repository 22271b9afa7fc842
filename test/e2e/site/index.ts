import { cp, lstat, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Programs, programsOf } from "@cloudvlan/infra/start/programs";
import type { Connection } from "@cloudvlan/kit/client";
import { createLab, type DemoNetwork, demoNetwork, type Lab } from "@cloudvlan/test/lab";
import { type ControlPlaneOptions, type SiteControlPlane, startSiteControlPlane } from "./control-plane.ts";
import { type SiteNode, siteNode } from "@cloudvlan/infra/site/node";
import { siteFolder, type SiteFolderOptions } from "./folder.ts";
import { createSiteTenant, type SiteTenant } from "./tenant.ts";
import { until } from "@cloudvlan/infra/site/until";

export type { SiteNode } from "@cloudvlan/infra/site/node";
export { allow, anyone, byName, ping, tcp } from "./tenant.ts";
export type { SiteTenant } from "./tenant.ts";
export { until } from "@cloudvlan/infra/site/until";

/** Two machines behind a router, and a control plane: what a small customer runs, each part a process of its own. */
export interface Site extends AsyncDisposable {
  readonly lab: Lab;
  readonly network: DemoNetwork;
  readonly control: SiteControlPlane;
  readonly api: Connection;
  readonly tenant: SiteTenant;
  /** Machines with an agent that has not joined. */
  readonly a: SiteNode;
  readonly b: SiteNode;
  /** Folder that is gone with the site. */
  readonly folder: string;
}

export interface SiteOptions extends ControlPlaneOptions, SiteFolderOptions {
  /** What is run in the place of the sources. */
  readonly programs?: Partial<Programs>;
  /** Content of a resolv.conf: the machines have files of their own with it, and their agents set it. */
  readonly resolvConf?: string;
  /** Configuration of agents beside their flags, by machine. */
  readonly config?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

export async function startSite(options: SiteOptions): Promise<Site> {
  const programs = { ...programsOf(process.env, process.execPath), ...options.programs };
  await using cleanup = new AsyncDisposableStack();
  const { path: folder } = cleanup.use(await siteFolder("cv-e2e-", options));
  const network = demoNetwork(71);
  const lab = cleanup.use(await createLab(network.topology, { captureProgram: programs.lab }));
  const control = cleanup.use(await startSiteControlPlane(folder, network.controlAddress, options, programs));
  const api = await control.connect();
  cleanup.defer(() => api.close());
  const tenant = await createSiteTenant(api, "e2e");
  const machine = async (name: string) => {
    const { resolvConf } = options;
    const own = resolvConf === undefined ? {} : { etc: await ownFiles(join(folder, `${name}-etc`), resolvConf) };
    const config = options.config?.[name];
    return cleanup.use(await siteNode(lab, name, folder, programs, { ...own, ...(config && { config }) }));
  };
  const a = await machine("hosta");
  const b = await machine("hostb");
  await Promise.all([a.startAgent(), b.startAgent()]);
  const kept = cleanup.move();
  return { lab, network, control, api, tenant, a, b, folder, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** A copy of /etc. */
async function ownFiles(folder: string, resolvConf: string): Promise<string> {
  // Sockets, pipes and what this user may not read are nothing that a test needs.
  const isPlain = async (path: string) => {
    const found = await lstat(path);
    return found.isDirectory() || found.isSymbolicLink() || found.isFile();
  };
  await cp("/etc", folder, { recursive: true, verbatimSymlinks: true, filter: isPlain });
  await rm(join(folder, "resolv.conf"), { force: true });
  await writeFile(join(folder, "resolv.conf"), resolvConf);
  return folder;
}

/** Joins both machines under the policy that stands, and waits until a ping goes through in both directions. */
export async function joinBoth({ tenant, a, b }: Site): Promise<void> {
  await a.join(await tenant.newJoinString());
  await b.join(await tenant.newJoinString());
  await until("hosta pings hostb", async () => (await a.ping("hostb")) > 0);
  await until("hostb pings hosta", async () => (await b.ping("hosta")) > 0);
}
