import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { start } from "@cloudvlan/test/lab";

const PROGRAM = fileURLToPath(new URL("../programs/probe.ts", import.meta.url));

/** A packet that opens a conversation. */
export interface Probe {
  readonly id: number;
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly port: number;
}

/** A machine that sends packets and says which of others' arrive. */
export interface Prober extends AsyncDisposable {
  /** Sends all and waits until each has had its time. */
  send(probes: readonly Probe[]): Promise<void>;
  /** Ids of those that arrived here. */
  arrived(): ReadonlySet<number>;
}

/** @param prefix command line that runs what follows on the machine */
export async function startProber(prefix: readonly string[], ports: readonly number[]): Promise<Prober> {
  const argv = [...prefix, process.execPath, PROGRAM, ...ports.map(String)];
  const child = await start(argv, { stdio: ["pipe", "pipe", "inherit"] });
  if (!child.stdout || !child.stdin) throw new Error("the prober has no pipes");
  const input = child.stdin;
  const arrived = new Set<number>();
  const waiting = new Map<number, () => void>();
  const listening = Promise.withResolvers<void>();
  child.once("exit", () => listening.reject(new Error(`${argv.join(" ")} ended`)));
  createInterface({ input: child.stdout }).on("line", (line) => {
    const [word, id] = line.split(" ");
    if (word === "listening") listening.resolve();
    if (word === "arrived") arrived.add(Number(id));
    if (word === "sent") waiting.get(Number(id))?.();
  });
  await listening.promise;
  return {
    send: async (probes) => {
      const sent = probes.map(({ id }) => new Promise<void>((resolve) => waiting.set(id, resolve)));
      input.write(probes.map((probe) => `${JSON.stringify(probe)}\n`).join(""));
      await Promise.all(sent);
    },
    arrived: () => arrived,
    [Symbol.asyncDispose]: async () => {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}
