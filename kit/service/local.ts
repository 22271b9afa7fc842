import { createContextValues, createRouterTransport, type Transport } from "@connectrpc/connect";
import type { UniversalHandler, UniversalHandlerFn } from "@connectrpc/connect/protocol";
import type { ServiceName } from "../caller/index.ts";
import { type Peer, peerKey } from "../interceptors/index.ts";
import { MAX_BODY_BYTES } from "../server/index.ts";
import { traced } from "../telemetry/index.ts";

/** The same handler, told by the composer, and by nothing in the request, which service calls. */
function calledBy(peer: Peer, handler: UniversalHandler): UniversalHandler {
  const call: UniversalHandlerFn = (request) =>
    handler({ ...request, contextValues: createContextValues().set(peerKey, peer) });
  return Object.assign(call, { ...handler });
}

/** In-process transport from one service to the handlers of another: binary, through every interceptor of the callee. */
export function localTransport(caller: ServiceName, handlers: readonly UniversalHandler[]): Transport {
  const peer: Peer = { kind: "local", service: caller };
  return traced(
    createRouterTransport(
      (router) => void router.handlers.push(...handlers.map((handler) => calledBy(peer, handler))),
      { transport: { readMaxBytes: 8 * MAX_BODY_BYTES, writeMaxBytes: MAX_BODY_BYTES } },
    ),
  );
}
