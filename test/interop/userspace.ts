import { existsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Program, program } from "@cloudvlan/infra/site/process";
import { type Finished, type Lab, must } from "@cloudvlan/test/lab";

/** Where userspace implementations put their sockets (wireguard.com/xplatform); all network namespaces share it. */
const SOCKETS = "/var/run/wireguard";

/** An interface of a WireGuard in user space. */
export interface UserspaceInterface extends AsyncDisposable {
  readonly name: string;
  readonly machine: string;
  readonly daemon: Program;
  readonly socketPath: string;
  /** `wg ACTION NAME ARGUMENTS` there. */
  run(action: string, ...args: readonly string[]): Promise<Finished>;
  /** The same, for what must succeed. @throws Error with the words of `wg` */
  wg(action: string, ...args: readonly string[]): Promise<string>;
  /** `wg setconf` or one of its like, with a configuration file. @throws Error with the words of `wg` */
  configure(action: "setconf" | "addconf" | "syncconf", configuration: string): Promise<void>;
}

/**
 * Starts one on a machine and waits until `wg` finds it; its name must be free in the whole lab.
 * @param argv runs it in the foreground
 * @param addresses of the interface, with prefix lengths; it is up then
 * @throws Error with the end of its log when it does not come up
 */
export async function startUserspace(
  lab: Lab,
  machine: string,
  argv: readonly string[],
  name: string,
  addresses: readonly string[],
  folder: string,
): Promise<UserspaceInterface> {
  const socketPath = join(SOCKETS, `${name}.sock`);
  const daemon = program(lab.argvOn(machine, argv), join(folder, `${name}.log`));
  const on = (...command: readonly string[]) => must(lab.argvOn(machine, command));
  // Not everyone takes the socket away at the end.
  await rm(socketPath, { force: true });
  await daemon.start();
  try {
    await daemon.until("it listens", async () => {
      const { code } = await lab.exec(machine, ["ip", "link", "show", "dev", name]);
      return code === 0 && existsSync(socketPath);
    });
    for (const address of addresses) await on("ip", "addr", "add", address, "dev", name);
    await on("ip", "link", "set", "dev", name, "mtu", "1420", "up");
  } catch (error) {
    await daemon.stop();
    throw error;
  }
  return {
    name,
    machine,
    daemon,
    socketPath,
    run: (action, ...args) => lab.exec(machine, ["wg", action, name, ...args]),
    wg: (action, ...args) => on("wg", action, name, ...args),
    configure: async (action, configuration) => {
      const path = join(folder, `${name}.conf`);
      await writeFile(path, configuration, { mode: 0o600 });
      await on("wg", action, name, path);
    },
    [Symbol.asyncDispose]: () => daemon.stop(),
  };
}
