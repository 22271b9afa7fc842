import { createSecureServer, createServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { systemClock } from "@cloudvlan/kit/clock";
import { createCsr, newTlsKey, pemOf } from "@cloudvlan/kit/pki";
import { testCa } from "@cloudvlan/kit/testing";
import { type ExitCode } from "../exit.ts";
import { runCli } from "../program.ts";

const CLUSTER = "cluster_01890000-0000-7000-8000-000000000000";

export interface Installation extends AsyncDisposable {
  readonly url: string;
  /** PEM file of the root. */
  readonly ca: string;
  readonly roots: readonly Uint8Array[];
  /** A folder for the test's own files. */
  readonly folder: string;
}

/** A listener of the platform, with a certificate of a real step-ca. */
export async function installation(routes: (router: ConnectRouter) => void): Promise<Installation> {
  const { authority, files, folder, ...ca } = await testCa(CLUSTER);
  const key = newTlsKey();
  const uri = `spiffe://${CLUSTER}/platform/controller/localhost`;
  const { chain } = await authority.sign(await createCsr(key), uri, ["localhost"], 3600);
  const server = createSecureServer({ key, cert: pemOf(chain), minVersion: "TLSv1.3" }, connectNodeAdapter({ routes }));
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    ca: files.rootPem,
    roots: await authority.roots(),
    folder,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await ca[Symbol.asyncDispose]();
    },
  };
}

/** An agent's socket in a folder. */
export async function localSocket(folder: string, routes: (router: ConnectRouter) => void): Promise<AsyncDisposable> {
  const server = createServer(connectNodeAdapter({ routes }));
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(join(folder, "agent.sock"), resolve));
  return {
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

export interface Ran {
  readonly code: ExitCode;
  readonly out: string;
  readonly err: string;
}

/** Runs one command line and catches what it prints. */
export async function cvlan(
  argv: readonly string[],
  given: {
    stdin?: string;
    configHome?: string;
    terminal?: boolean;
    signal?: AbortSignal;
    out?: (text: string) => void;
  } = {},
): Promise<Ran> {
  let out = "";
  let err = "";
  const code = await runCli(argv, {
    out: (text) => {
      out += text;
      given.out?.(text);
    },
    err: (text) => void (err += text),
    stdin: () => Promise.resolve(given.stdin),
    terminal: given.terminal ?? false,
    clock: systemClock,
    configHome: given.configHome ?? "/nonexistent",
    signal: given.signal ?? AbortSignal.timeout(60_000),
  });
  return { code, out, err };
}
