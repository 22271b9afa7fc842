import * as z from "zod";

/** A WireGuard in user space: a program that takes the name of an interface and is set by the userspace protocol. */
export interface Implementation {
  readonly name: string;
  /** Release; of ours, none. */
  readonly version?: string;
  /** Runs it in the foreground. */
  readonly argv: (interfaceName: string) => string[];
}

/** An implementation that is not there, and why. */
export interface Missing {
  readonly name: string;
  readonly version: string;
  readonly skipped: string;
}

export const OURS = "ours";

const FOREGROUND: Readonly<Record<string, readonly string[]>> = {
  "wireguard-go": ["-f"],
  boringtun: ["-f", "--disable-drop-privileges"],
  gotatun: ["-f", "--disable-drop-privileges", "--verbosity", "error"],
};

const Rivals = z.array(
  z.union([
    z.object({ name: z.string(), version: z.string(), program: z.string() }),
    z.object({ name: z.string(), version: z.string(), skipped: z.string() }),
  ]),
);

/** What the set-up built: ours first, then its rivals. @throws Error when the set-up did not run */
export function implementations(env: NodeJS.ProcessEnv): { present: Implementation[]; missing: Missing[] } {
  const { CLOUDVLAN_ENGINE: engine, CLOUDVLAN_RIVALS: built } = env;
  if (engine === undefined || built === undefined)
    throw new Error("run it by `npm run bench -- wg`, which builds them");
  const present: Implementation[] = [{ name: OURS, argv: (interfaceName) => [engine, "wg", "-f", interfaceName] }];
  const missing: Missing[] = [];
  for (const rival of Rivals.parse(JSON.parse(built))) {
    if ("skipped" in rival) {
      missing.push(rival);
    } else {
      const { name, version, program } = rival;
      const options = FOREGROUND[name] ?? [];
      present.push({ name, version, argv: (interfaceName) => [program, ...options, interfaceName] });
    }
  }
  return { present, missing };
}
