import type { HandlerContext } from "@connectrpc/connect";
import { Scope } from "@cloudvlan/gen/options/v1/options_pb.js";
import { accessOf } from "../access/index.ts";
import { Refusal } from "../errors/index.ts";
import type { AddressLimit } from "./address-limit.ts";
import { type Peer, peerKey } from "./peer.ts";
import type { RefusalCounter } from "./refusals.ts";

/** What the gate looks at: enough to say no before a byte of the body is read. */
export type GateCall = Pick<HandlerContext, "method" | "requestHeader" | "values">;

/**
 * Runs before the body of a request is read: the limit of the address, then whether there is any credential at all.
 * @throws ConnectError, ready for the caller.
 */
export type Gate = (call: GateCall) => Promise<void>;

export interface GateOptions {
  readonly limit: AddressLimit;
  readonly refusals: RefusalCounter;
}

function requireCredential(call: GateCall, peer: Peer): void {
  const access = accessOf(call.method);
  if (access.scope === Scope.HOST) {
    throw new Refusal("denied", "LOCAL_ONLY", "this is served on the machine itself", {
      remedy: "call the local socket",
    });
  }
  if (access.anonymous || peer.kind === "local") return;
  if (peer.chain.length > 0 || call.requestHeader.has("authorization")) return;
  throw new Refusal("unauthenticated", "CREDENTIAL_MISSING", "the call needs a credential", {
    remedy: "send an API key as `authorization: Bearer …` or present a client certificate",
  });
}

/** The gate of RPCs whose access option says who is let in. */
export function gate(options: GateOptions): Gate {
  return gateWith(options, requireCredential);
}

/** The gate of probes, which anybody may send: only the limit of the address. */
export function probeGate(options: GateOptions): Gate {
  return gateWith(options, () => {});
}

function gateWith({ limit, refusals }: GateOptions, check: (call: GateCall, peer: Peer) => void): Gate {
  return async (call) => {
    try {
      const peer = call.values.get(peerKey);
      if (!peer) throw new Error("the transport did not say who is at the other end");
      if (peer.kind === "tls") await limit(peer.address);
      check(call, peer);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refusals.count(error);
      throw error.toConnectError();
    }
  };
}
