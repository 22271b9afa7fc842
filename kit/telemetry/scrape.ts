import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Refusal } from "../errors/index.ts";
import type { ScrapeAddress } from "./config.ts";

/** A scraper needs one. */
const MAX_CONNECTIONS = 16;
const MAX_HEADER_BYTES = 8_192;
/** Milliseconds for a request to arrive whole. */
const REQUEST_MS = 5_000;
const LOOK_MS = 1_000;
/** Text format of Prometheus. */
const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/**
 * Answers `GET /metrics` over plain HTTP and nothing else. However many ask, the text is made once at a time.
 * @throws Refusal `unavailable` when the address cannot be had.
 */
export async function serveScrapes(at: ScrapeAddress, read: () => Promise<string>): Promise<AsyncDisposable> {
  let reading: Promise<string> | undefined;
  const readOnce = (): Promise<string> => (reading ??= read().finally(() => (reading = undefined)));

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? "").split("?", 1)[0];
    if (path !== "/metrics") return void response.writeHead(404).end();
    if (request.method !== "GET") return void response.writeHead(405, { allow: "GET" }).end();
    response.writeHead(200, { "content-type": CONTENT_TYPE }).end(await readOnce());
  }

  const limits = {
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout: REQUEST_MS,
    headersTimeout: REQUEST_MS,
    keepAliveTimeout: REQUEST_MS,
    connectionsCheckingInterval: LOOK_MS,
  };
  const server = createServer(limits, (request, response) => {
    request.resume();
    answer(request, response).catch(() => void response.destroy());
  });
  server.maxConnections = MAX_CONNECTIONS;
  // What does not read its answer gets no second chance.
  server.setTimeout(REQUEST_MS);
  const listening = Promise.withResolvers<void>();
  server.once("error", listening.reject);
  server.listen(at.port, at.address, listening.resolve);
  try {
    await listening.promise;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new Refusal("unavailable", "LISTEN", `cannot listen on ${at.address} port ${at.port} (${code})`, {
      field: "telemetry.metrics",
      remedy: "choose a port that is free and an address of this machine",
    });
  }
  server.unref();
  return {
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
