import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** A plain TCP balancer: it takes turns, leaves out who does not answer, and reads nothing. */
export interface Balancer extends AsyncDisposable {
  readonly port: number;
}

async function dial(ports: readonly number[], first: number): Promise<Socket | undefined> {
  for (let turn = 0; turn < ports.length; turn++) {
    const socket = connect({ host: "127.0.0.1", port: ports[(first + turn) % ports.length] ?? 0, noDelay: true });
    try {
      await once(socket, "connect");
      return socket;
    } catch {
      socket.destroy();
    }
  }
  return undefined;
}

export async function startBalancer(address: string, port: number, backends: readonly number[]): Promise<Balancer> {
  const open = new Set<Socket>();
  let turn = 0;
  const server = createServer({ pauseOnConnect: true, noDelay: true }, (client) => {
    open.add(client);
    client.once("close", () => open.delete(client));
    client.on("error", () => client.destroy());
    void dial(backends, turn++).then((backend) => {
      if (!backend) return client.destroy();
      backend.on("error", () => client.destroy());
      backend.once("close", () => client.destroy());
      client.once("close", () => backend.destroy());
      client.pipe(backend);
      backend.pipe(client);
      return client.resume();
    });
  });
  server.listen(port, address);
  await once(server, "listening");
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
