import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type SiteNode, siteNode } from "@cloudvlan/infra/site/node";
import { shippedPrograms } from "@cloudvlan/infra/start/programs";
import { createLab, demoNetwork, type Lab } from "@cloudvlan/test/lab";
import {
  type ControlPlaneOptions,
  type SiteControlPlane,
  startSiteControlPlane,
} from "@cloudvlan/test/site/control-plane";
import { createSiteTenant, ping, type SiteTenant } from "@cloudvlan/test/site/tenant";
import type { BenchContext } from "./benchmark.ts";

const UNDERLAY = 71;
/** Members join from one address, and as fast as they can. */
const LIMITS = {
  requests_per_second: 100_000,
  connections_per_address: 10_000,
  handshakes_per_second: 10_000,
  streams_per_connection: 1_000,
};

/** A control plane of bundles with a tenant whose machines may all ping each other. */
export interface Network extends AsyncDisposable {
  readonly lab: Lab;
  readonly control: SiteControlPlane;
  readonly tenant: SiteTenant;
  /** A machine of the lab with an agent and an engine, which did not join yet. */
  machine(name: "hosta" | "hostb"): Promise<SiteNode>;
}

export async function startNetwork(context: BenchContext, options: ControlPlaneOptions): Promise<Network> {
  const programs = shippedPrograms(context.env, context.node);
  await using cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "cv-bench-"));
  cleanup.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }));
  const network = demoNetwork(UNDERLAY);
  const lab = cleanup.use(await createLab(network.topology, { captureProgram: programs.lab }));
  const withLimits = { ...options, settings: { limits: LIMITS, ...options.settings } };
  const control = cleanup.use(await startSiteControlPlane(folder, network.controlAddress, withLimits, programs));
  const api = await control.connect();
  cleanup.defer(() => api.close());
  const tenant = await createSiteTenant(api, "bench");
  await tenant.apply(ping);
  const kept = cleanup.move();
  return {
    lab,
    control,
    tenant,
    machine: async (name) => {
      const node = kept.use(await siteNode(lab, name, folder, programs));
      await node.startAgent();
      await node.engineIsUp();
      return node;
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
