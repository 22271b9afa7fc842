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

const inClone = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/**
 * @param env environment of a process that the set-up started
 * @throws Error when the set-up did not run
 */
export function programsOf(env: NodeJS.ProcessEnv, node: string): Programs {
  const built = (name: string): string => {
    const path = env[name];
    if (path === undefined) throw new Error(`${name} is not set: run \`npm start\`, which builds what is needed first`);
    return path;
  };
  return {
    node,
    engine: built("CLOUDVLAN_ENGINE"),
    lab: built("CLOUDVLAN_LAB"),
    stepCa: built("CLOUDVLAN_STEP_CA"),
    controlPlane: inClone("services/all/main.ts"),
    agent: inClone("agent/main.ts"),
    cli: inClone("cli/main.ts"),
  };
}
