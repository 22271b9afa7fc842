import { dirname } from "node:path";
import { auth } from "@cloudvlan/auth";
import { prepareRotation, retireRoot, switchIssuer } from "@cloudvlan/kit/ca";
import { systemClock } from "@cloudvlan/kit/clock";
import type { ProcessConfig } from "@cloudvlan/kit/config";
import { clusterOf } from "./store.ts";
import { argumentsOf, UsageError, type Verb } from "./verb.ts";

const USAGE = "rotate-ca prepare|switch|retire --config FILE";

/** Replaces the root of the CA in three steps, on the machine of the CA; see docs/adr/0010-rotation.md. */
export const rotateCa: Verb = {
  usage: USAGE,
  async run(argv) {
    const { config, words } = argumentsOf(argv, USAGE);
    const [stage, ...more] = words;
    if (!config.ca || more.length > 0) throw new UsageError(`usage: ${USAGE}`);
    const cluster = clusterOf(config);
    if (cluster === undefined)
      throw new UsageError(`${config.data} holds no installation yet; start the control plane`);
    const folder = dirname(config.ca.root);
    const nowMs = systemClock.nowMs();
    const lifetime = longestLifetime(config);
    switch (stage) {
      case "prepare":
        await prepareRotation(folder, cluster, nowMs);
        return `both roots are published; switch in ${lifetime} seconds, when every certificate was renewed`;
      case "switch":
        await switchIssuer(folder, lifetime, nowMs);
        return `restart step-ca: it issues under the new root from then on; retire the former one in ${lifetime} seconds or later`;
      case "retire":
        await retireRoot(folder, lifetime, nowMs);
        return "the former root is not trusted any more, and its keys are destroyed";
      default:
        throw new UsageError(`usage: ${USAGE}`);
    }
  },
};

/** Seconds that the longest certificate lives which members and services renew by. */
function longestLifetime({ services }: ProcessConfig): number {
  const settings = auth.config.parse(services.auth ?? {});
  return Math.max(settings.node_certificate_ttl_seconds, settings.service_certificate_ttl_seconds);
}
