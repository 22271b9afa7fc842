import { chmod, rm } from "node:fs/promises";
import { createServer } from "node:http2";
import { connect } from "node:net";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Refusal } from "@cloudvlan/kit/errors";
import type { Clock } from "@cloudvlan/kit/clock";
import type { Logger } from "@cloudvlan/kit/log";
import { otelInterceptor } from "@cloudvlan/kit/telemetry";
import { validateInterceptor } from "@cloudvlan/kit/validate";
import { errnoOf } from "../state/files.ts";
import type { LocalNode } from "./node.ts";
import { agentRoutes } from "./service.ts";

const MAX_BODY = 64 * 1024;
/** Sessions that one local user may hold at once. */
const MAX_SESSIONS = 64;

/**
 * Serves the local API on a unix socket that only the agent's user can reach: 0600, in a folder that is 0700. A socket that
 * a dead agent left behind is replaced.
 * @throws Refusal `AGENT_RUNNING` when another agent answers there.
 */
export async function serveLocal(path: string, node: LocalNode, clock: Clock, log: Logger): Promise<AsyncDisposable> {
  if (await answers(path)) {
    throw new Refusal("conflict", "AGENT_RUNNING", `another agent already serves ${path}`, {
      field: "state",
      remedy: "stop it first, or choose another --state folder",
    });
  }
  await rm(path, { force: true });
  const server = createServer(
    { settings: { maxConcurrentStreams: 32 } },
    connectNodeAdapter({
      routes: agentRoutes(node),
      interceptors: [plainErrors(log), otelInterceptor(clock), validateInterceptor()],
      readMaxBytes: MAX_BODY,
    }),
  );
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => {
    if (sessions.size >= MAX_SESSIONS) return session.destroy();
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
  await chmod(path, 0o600);
  return {
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const session of sessions) session.destroy();
      await closed;
    },
  };
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error) => {
      const code = errnoOf(error);
      if (code === "ENOENT" || code === "ECONNREFUSED") resolve(false);
      else reject(error);
    });
  });
}

/** Refusals in their words; errors of engine and controller as they came; of anything else nothing but a log line. */
function plainErrors(log: Logger): Interceptor {
  const plain = (error: unknown): ConnectError => {
    if (error instanceof Refusal) return error.toConnectError();
    if (error instanceof ConnectError) return error;
    log.error({ error }, "local request failed");
    return new ConnectError("the agent failed; its log says why", Code.Internal);
  };
  async function* plainStream<T>(messages: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
    try {
      yield* messages;
    } catch (error) {
      throw plain(error);
    }
  }
  return (next) => async (request) => {
    try {
      const response = await next(request);
      return response.stream ? { ...response, message: plainStream(response.message) } : response;
    } catch (error) {
      throw plain(error);
    }
  };
}
