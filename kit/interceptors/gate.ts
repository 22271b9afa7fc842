import { randomUUID } from "node:crypto";
import type { HandlerContext } from "@connectrpc/connect";
import { context } from "@opentelemetry/api";
import { Scope } from "@cloudvlan/gen/options/v1/options_pb.js";
import { accessOf, pathOf } from "../access/index.ts";
import { Refusal } from "../errors/index.ts";
import type { Logger } from "../log/index.ts";
import { callerTrace } from "../telemetry/index.ts";
import type { AddressLimit } from "./address-limit.ts";
import type { Authorities } from "./authorities.ts";
import { bearerOf } from "./authn.ts";
import { toCallerError } from "./errors.ts";
import { type Peer, peerKey } from "./peer.ts";
import type { RefusalCounter } from "./refusals.ts";
import type { Workloads } from "./workload.ts";

/** What the gate looks at: enough to say no before a byte of the body is read. */
export type GateCall = Pick<HandlerContext, "method" | "requestHeader" | "values" | "signal">;

/**
 * Runs before the body of a request is read: the limit of the address, then whether the caller is known.
 * @throws ConnectError, ready for the caller.
 */
export type Gate = (call: GateCall) => Promise<void>;

export interface ProbeGateOptions {
  readonly limit: AddressLimit;
  readonly refusals: RefusalCounter;
  readonly log: Logger;
}

export interface GateOptions extends ProbeGateOptions {
  readonly workloads: Workloads;
  readonly authorities: Authorities;
}

/** Nobody who is not known makes the process keep a body: a certificate of one's own making and a made-up key are none. */
async function requireKnown({ workloads, authorities }: GateOptions, call: GateCall, peer: Peer): Promise<void> {
  const access = accessOf(call.method);
  if (access.scope === Scope.HOST) {
    throw new Refusal("denied", "LOCAL_ONLY", "this is served on the machine itself", {
      remedy: "call the local socket",
    });
  }
  if (access.anonymous || peer.kind === "local") return;
  if (workloads(peer, access).kind !== "none") return;
  const apiKey = bearerOf(call.requestHeader);
  if (apiKey !== undefined) {
    // Remembered: the interceptors that look again, after the body, ask nobody.
    await authorities.fromBearer(apiKey, randomUUID());
    return;
  }
  throw new Refusal("unauthenticated", "CREDENTIAL_MISSING", "the call needs a credential", {
    remedy: "send an API key as `authorization: Bearer …` or present a client certificate",
  });
}

/** The gate of RPCs whose access option says who is let in. */
export function gate(options: GateOptions): Gate {
  return gateWith(options, (call, peer) => requireKnown(options, call, peer));
}

/** The gate of probes, which anybody may send: only the limit of the address. */
export function probeGate(options: ProbeGateOptions): Gate {
  return gateWith(options, () => Promise.resolve());
}

function gateWith(
  { limit, refusals, log }: ProbeGateOptions,
  check: (call: GateCall, peer: Peer) => Promise<void>,
): Gate {
  return async (call) => {
    try {
      const peer = call.values.get(peerKey);
      if (!peer) throw new Error("the transport did not say who is at the other end");
      if (peer.kind === "tls") await limit(peer.address);
      await context.with(callerTrace(call.requestHeader), () => check(call, peer));
    } catch (error) {
      if (error instanceof Refusal) refusals.count(error);
      const { method, signal } = call;
      throw toCallerError(error, { rpc: pathOf(method), requestId: randomUUID(), signal }, log);
    }
  };
}
