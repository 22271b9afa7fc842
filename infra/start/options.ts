import { parseArgs } from "node:util";

export interface StartOptions {
  /** Prove and exit. */
  readonly once: boolean;
  /** Hosts of the lab and a ping between them; otherwise the control plane for real use. */
  readonly demo: boolean;
  /** Machines of the demonstration without TUN, also where there is one. */
  readonly userspace: boolean;
  /** One line of JSON at the end of standard output. */
  readonly json: boolean;
}

export const USAGE = `usage: npm start -- [--once] [--no-demo] [--userspace] [--json]
  --once     prove that it works, then exit
  --no-demo  run the control plane for real use; data stays in \${XDG_DATA_HOME:-~/.local/share}/cloudvlan
  --userspace  machines of the demonstration by the engine's own network stack, as where /dev/net/tun is closed
  --json     end with one line of JSON
`;

/** @throws TypeError for an option that is not known */
export function parseOptions(argv: readonly string[]): StartOptions {
  const { values } = parseArgs({
    args: [...argv],
    allowNegative: true,
    options: {
      once: { type: "boolean", default: false },
      demo: { type: "boolean", default: true },
      userspace: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  return values;
}
