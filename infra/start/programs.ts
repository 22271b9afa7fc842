import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What is started, by path. */
export interface Programs {
  /** The pinned Node. */
  readonly node: string;
  readonly engine: string;
  readonly lab: string;
  readonly stepCa: string;
  readonly controlPlane: string;
  readonly agent: string;
  readonly cli: string;
}

type Sources = Pick<Programs, "controlPlane" | "agent" | "cli">;

const inClone = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

const SOURCES: Sources = {
  controlPlane: inClone("services/all/main.ts"),
  agent: inClone("agent/main.ts"),
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

/** Like `programsOf`, with our programs as they are shipped: bundled. They start faster and are smaller. */
export function bundledPrograms(env: NodeJS.ProcessEnv, node: string): Programs {
  const bundles = built(env, "CLOUDVLAN_BUNDLES");
  return {
    ...programsOf(env, node),
    controlPlane: join(bundles, "control-plane", "control-plane.mjs"),
    agent: join(bundles, "agent", "cvlan-agent.mjs"),
    cli: join(bundles, "cli", "cvlan.mjs"),
  };
}
