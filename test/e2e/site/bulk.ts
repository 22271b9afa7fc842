import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Lab } from "@cloudvlan/test/lab";
import { program } from "@cloudvlan/infra/site/process";
import type { SiteNode } from "@cloudvlan/infra/site/node";
import { until } from "@cloudvlan/infra/site/until";

const path = (name: string): string => fileURLToPath(new URL(`../programs/${name}`, import.meta.url));

/** One TCP connection over the overlay with packets as large as they may be. */
export interface Bulk extends AsyncDisposable {
  /** Waits until further bytes arrived, each of them checked. @throws Error when the connection broke */
  flows(more?: number): Promise<void>;
}

/** Sends from one machine to another, at a port that is free there. */
export async function openBulk(lab: Lab, from: SiteNode, to: SiteNode, port: number, folder: string): Promise<Bulk> {
  await using cleanup = new AsyncDisposableStack();
  const script = (on: SiteNode, name: string, address: string) => {
    const argv = [process.execPath, path(name), address, String(port)];
    const started = program(lab.argvOn(on.name, argv), join(folder, `${on.name}-${port}-${name}.out`));
    cleanup.defer(() => started.end("SIGKILL"));
    return started;
  };
  const address = await to.address();
  const server = script(to, "bulk-server.ts", address);
  await server.start();
  await until("the receiver listens", async () => (await server.output()).includes("listening"));
  const client = script(from, "bulk-client.ts", address);
  await client.start();
  const came = async (): Promise<number> => {
    const said = `${await client.output()}${await server.output()}`;
    if (said.includes("broken")) throw new Error(said.slice(said.lastIndexOf("broken")));
    return Number(said.trimEnd().split("\n").at(-1)) || 0;
  };
  const kept = cleanup.move();
  return {
    flows: async (more = 4 << 20) => {
      const before = await came();
      await until("the bytes flow", async () => (await came()) >= before + more);
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
