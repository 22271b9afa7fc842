import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AGENT_FLAGS } from "../bundle/flags.ts";

/** What is started, by path. */
export interface Programs {
  /** The pinned Node. */
  readonly node: string;
  readonly engine: string;
  readonly lab: string;
  readonly stepCa: string;
  readonly controlPlane: string;
  readonly agent: string;
  /** Flags of Node for the agent. */
  readonly agentFlags: readonly string[];
  readonly cli: string;
}

/** What an installation brings: our programs bundled, and what makes a first start quick. */
export interface ShippedPrograms extends Programs {
  /** An empty embedded database. */
  readonly databaseTemplate: string;
}

type Sources = Pick<Programs, "controlPlane" | "agent" | "agentFlags" | "cli">;

const inClone = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

const SOURCES: Sources = {
  controlPlane: inClone("services/all/main.ts"),
  agent: inClone("agent/main.ts"),
  agentFlags: [],
  cli: inClone("cli/main.ts"),
};

function built(env: NodeJS.ProcessEnv, name: string): string {
  const path = env[name];
  if (path === undefined) throw new Error(`${name} is not set: run \`npm start\`, which builds what is needed first`);
  return path;
}

/**
 * Our programs as their sources, the others as they were built.
 * @param env environment of a process that the set-up started
 * @throws Error when the set-up did not run
 */
export function programsOf(env: NodeJS.ProcessEnv, node: string): Programs {
  return {
    node,
    engine: built(env, "CLOUDVLAN_ENGINE"),
    lab: built(env, "CLOUDVLAN_LAB"),
    stepCa: built(env, "CLOUDVLAN_STEP_CA"),
    ...SOURCES,
  };
}

/** Like `programsOf`, with our programs as they are shipped. They start faster and are smaller. */
export function shippedPrograms(env: NodeJS.ProcessEnv, node: string): ShippedPrograms {
  const bundles = built(env, "CLOUDVLAN_BUNDLES");
  return {
    ...programsOf(env, node),
    controlPlane: join(bundles, "control-plane", "control-plane.mjs"),
    agent: join(bundles, "agent", "cvlan-agent.mjs"),
    agentFlags: AGENT_FLAGS,
    cli: join(bundles, "cli", "cvlan.mjs"),
    databaseTemplate: built(env, "CLOUDVLAN_PGLITE_TEMPLATE"),
  };
}
