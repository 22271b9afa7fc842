import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Lab } from "@cloudvlan/test/lab";
import { program } from "@cloudvlan/infra/site/process";
import type { SiteNode } from "@cloudvlan/infra/site/node";
import { until } from "@cloudvlan/infra/site/until";

const PORT = 5001;
const path = (name: string): string => fileURLToPath(new URL(`../programs/${name}`, import.meta.url));

/** One TCP connection over the overlay that never stops talking. */
export interface Stream extends AsyncDisposable {
  /** How many numbers went there and back. @throws Error when the connection broke */
  count(): Promise<number>;
  /** Waits until further numbers went there and back. */
  flows(more?: number): Promise<void>;
}

/** Opens a connection from one machine to another. */
export async function openStream(lab: Lab, from: SiteNode, to: SiteNode, folder: string): Promise<Stream> {
  const address = await to.address();
  const script = (on: SiteNode, name: string, ...args: readonly string[]) =>
    program(lab.argvOn(on.name, [process.execPath, path(name), ...args]), join(folder, `${on.name}-${name}.out`));
  const server = script(to, "stream-server.ts", address, String(PORT));
  const client = script(from, "stream-client.ts", address, String(PORT));
  await server.start();
  await until("the stream's server listens", async () => (await server.said()).includes("listening"));
  await client.start();
  const count = async (): Promise<number> => {
    const said = (await client.said()).trimEnd();
    if (said.includes("broken")) throw new Error(`the stream broke: ${said.slice(said.lastIndexOf("broken"))}`);
    return said === "" ? 0 : said.split("\n").length;
  };
  return {
    count,
    flows: async (more = 10) => {
      const before = await count();
      await until("the stream flows", async () => (await count()) >= before + more);
    },
    [Symbol.asyncDispose]: async () => {
      await client.end("SIGKILL");
      await server.end("SIGKILL");
    },
  };
}
