import type { Interceptor } from "@connectrpc/connect";
import type { Access } from "@cloudvlan/gen/options/v1/options_pb.js";
import { accessOf } from "../access/index.ts";
import { type Caller, callerKey, type RequestScope, runInScope } from "../caller/index.ts";
import { Refusal } from "../errors/index.ts";
import { type Authorities, CALL_CONTEXT_HEADER, type VerifiedAuthority } from "./authorities.ts";
import { withHooks } from "./iterables.ts";
import { type Peer, peerKey, requestIdKey } from "./peer.ts";
import type { Workloads } from "./workload.ts";

/** Header that names a call across services. */
export const REQUEST_ID_HEADER = "cloudvlan-request-id";
const REQUEST_ID = /^[0-9a-zA-Z-]{8,64}$/;
const BEARER = /^Bearer ([\x21-\x7e]{1,256})$/;

export interface AuthnOptions {
  readonly workloads: Workloads;
  readonly authorities: Authorities;
}

interface Identified {
  readonly caller: Caller;
  readonly callContext: string | undefined;
}

async function identify(
  { workloads, authorities }: AuthnOptions,
  peer: Peer,
  header: Headers,
  access: Access,
  ownRequestId: string,
): Promise<Identified> {
  if (access.anonymous && peer.kind === "tls") {
    // Whoever may come without a credential gains and loses nothing by one: an old certificate must not lock a machine out.
    const caller: Caller = {
      workload: { kind: "none" },
      authority: undefined,
      requestId: ownRequestId,
      address: peer.address,
    };
    return { caller, callContext: undefined };
  }
  const workload = workloads(peer, access);
  const given = header.get(REQUEST_ID_HEADER) ?? "";
  const requestId = workload.kind === "service" && REQUEST_ID.test(given) ? given : ownRequestId;
  const verified = await authorityOf(authorities, workload.kind, header, requestId);
  const address = peer.kind === "local" ? "local" : peer.address;
  return {
    caller: { workload, authority: verified?.authority, requestId, address },
    callContext: verified?.header,
  };
}

/**
 * The API key of a request; undefined without an authorization header.
 * @throws Refusal `unauthenticated` when the header holds something else.
 */
export function bearerOf(header: Headers): string | undefined {
  const authorization = header.get("authorization");
  if (authorization === null) return undefined;
  const apiKey = BEARER.exec(authorization)?.[1];
  if (apiKey !== undefined) return apiKey;
  throw new Refusal("unauthenticated", "CREDENTIAL_REFUSED", "the authorization header is not a bearer API key", {
    field: "authorization",
    remedy: "send `authorization: Bearer cvk_…`",
  });
}

async function authorityOf(
  authorities: Authorities,
  workload: "none" | "service" | "node",
  header: Headers,
  requestId: string,
): Promise<VerifiedAuthority | undefined> {
  if (workload !== "none" && header.has("authorization")) {
    throw new Refusal("unauthenticated", "TWO_CREDENTIALS", "a client certificate and an API key were both presented", {
      field: "authorization",
      remedy: "present one of them",
    });
  }
  const apiKey = bearerOf(header);
  if (apiKey !== undefined) return authorities.fromBearer(apiKey, requestId);
  const context = workload === "service" ? header.get(CALL_CONTEXT_HEADER) : null;
  return context === null ? undefined : authorities.fromHeader(context);
}

/** Finds out who calls, tells the handler (`callerOf`) and opens the scope that outgoing calls and log lines read. */
export function authnInterceptor(options: AuthnOptions): Interceptor {
  return (next) => async (request) => {
    const peer = request.contextValues.get(peerKey);
    if (!peer) throw new Error("the transport did not say who is at the other end");
    const { caller, callContext } = await identify(
      options,
      peer,
      request.header,
      accessOf(request.method),
      request.contextValues.get(requestIdKey),
    );
    request.contextValues.set(callerKey, caller);
    request.contextValues.set(requestIdKey, caller.requestId);
    const scope: RequestScope = {
      requestId: caller.requestId,
      callContext,
      signal: request.stream ? undefined : request.signal,
      done: false,
    };
    if (!request.stream) {
      try {
        return await runInScope(scope, () => next(request));
      } finally {
        scope.done = true;
      }
    }
    request.signal.addEventListener("abort", () => (scope.done = true), { once: true });
    const response = await runInScope(scope, () => next(request));
    return response.stream
      ? { ...response, message: withHooks(response.message, { around: (step) => runInScope(scope, step) }) }
      : response;
  };
}
