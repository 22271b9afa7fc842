import { createSecureServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { pemOf } from "@cloudvlan/kit/pki";
import type { TestCa } from "./ca.ts";

export interface TestController extends AsyncDisposable {
  readonly url: string;
  /** Ends every connection at once, as a crash would. */
  cut(): void;
}

/** A TLS listener of the platform that serves what a test needs of the control plane. */
export async function testController(ca: TestCa, routes: (router: ConnectRouter) => void): Promise<TestController> {
  const { key, chain } = await ca.listener();
  const server = createSecureServer(
    { key, cert: pemOf(chain), minVersion: "TLSv1.3", requestCert: true, rejectUnauthorized: false },
    connectNodeAdapter({ routes }),
  );
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    session.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const cut = () => {
    for (const session of sessions) session.destroy();
  };
  return {
    url: `https://localhost:${port}`,
    cut,
    async [Symbol.asyncDispose]() {
      cut();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
