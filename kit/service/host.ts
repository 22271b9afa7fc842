import { type ConnectRouter, createConnectRouter, type Interceptor } from "@connectrpc/connect";
import { compressionGzip } from "@connectrpc/connect-node";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { accessOf } from "../access/index.ts";
import type { Gate } from "../interceptors/index.ts";
import { MAX_BODY_BYTES } from "../server/index.ts";
import type { BuiltService, ServiceDefinition } from "./index.ts";

/** Bytes of one answer. */
const MAX_ANSWER_BYTES = 8 * MAX_BODY_BYTES;

/** Makes a router that serves all three protocols behind the gate and the interceptors. */
export function routerOf(gate: Gate, interceptors: readonly Interceptor[]): ConnectRouter {
  return createConnectRouter({
    interceptors: [...interceptors],
    requestGate: gate,
    readMaxBytes: MAX_BODY_BYTES,
    writeMaxBytes: MAX_ANSWER_BYTES,
    acceptCompression: [compressionGzip],
    jsonOptions: { ignoreUnknownFields: false },
  });
}

/**
 * The handlers of a built service.
 * @throws Error when it serves what it does not declare, or an RPC that does not say who may call it.
 */
export function handlersOf(
  definition: ServiceDefinition,
  built: BuiltService,
  gate: Gate,
  interceptors: readonly Interceptor[],
): readonly UniversalHandler[] {
  const router = routerOf(gate, interceptors);
  built.routes(router);
  const provided = new Set(definition.provides.map((service) => service.typeName));
  const methods = [...router.handlers, ...(built.frames ?? [])].map(({ method }) => method);
  for (const method of methods) {
    accessOf(method);
    if (!provided.has(method.parent.typeName)) {
      throw new Error(`${definition.name} serves ${method.parent.typeName} and does not declare it in \`provides\``);
    }
    if (method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming") {
      throw new Error(`${method.parent.typeName}/${method.name} streams requests, which the interceptors do not check`);
    }
  }
  return router.handlers;
}
