import type { Interceptor } from "@connectrpc/connect";
import type { AuditLog } from "../audit/index.ts";
import type { Clock } from "../clock/index.ts";
import type { Database } from "../db/index.ts";
import type { Logger } from "../log/index.ts";
import type { Denials } from "../server/denials.ts";
import type { LiveStreams } from "../server/live.ts";
import { otelInterceptor } from "../telemetry/index.ts";
import { validateInterceptor } from "../validate/index.ts";
import { auditInterceptor } from "./audit.ts";
import type { Authorities } from "./authorities.ts";
import { authnInterceptor } from "./authn.ts";
import { authzInterceptor } from "./authz.ts";
import { deadlineInterceptor } from "./deadline.ts";
import { errorsInterceptor } from "./errors.ts";
import type { RefusalCounter } from "./refusals.ts";
import { streamsInterceptor } from "./streams.ts";
import type { Workloads } from "./workload.ts";

export { type AddressLimit, addressLimit } from "./address-limit.ts";
export { type Authorities, authorities, CALL_CONTEXT_HEADER } from "./authorities.ts";
export { REQUEST_ID_HEADER } from "./authn.ts";
export { authorize } from "./authz.ts";
export { DEFAULT_DEADLINE_MS, deadlineError, deadlineInterceptor, MAX_DEADLINE_MS } from "./deadline.ts";
export { errorsInterceptor } from "./errors.ts";
export { type Gate, gate, type GateCall, probeGate } from "./gate.ts";
export { type Peer, peerKey } from "./peer.ts";
export { type RefusalCounter, refusalCounter } from "./refusals.ts";
export { type Workloads, workloads } from "./workload.ts";

/** What the interceptors of one service work with. */
export interface InterceptorContext {
  readonly log: Logger;
  readonly clock: Clock;
  readonly refusals: RefusalCounter;
  readonly workloads: Workloads;
  readonly authorities: Authorities;
  readonly db: Database;
  readonly audit: AuditLog;
  readonly live: LiveStreams;
  readonly denials: Denials;
  readonly trustDomain: string;
  /** Ends every stream when the process drains. */
  readonly draining: AbortSignal;
}

interface Layer {
  readonly name: string;
  make(context: InterceptorContext): Interceptor;
}

/**
 * The interceptors, outermost first. The order is part of the contract: nothing is looked up for a caller that is not
 * known, nothing is judged that is not valid, and every refusal of a known caller is audited. The limit of an address
 * comes before all of them, in the gate, when only headers have been read.
 */
export const INTERCEPTORS: readonly Layer[] = [
  { name: "errors", make: ({ log, refusals }) => errorsInterceptor(log, refusals) },
  { name: "otel", make: ({ clock }) => otelInterceptor(clock) },
  { name: "deadline", make: () => deadlineInterceptor() },
  { name: "authn", make: (context) => authnInterceptor(context) },
  { name: "audit", make: (context) => auditInterceptor(context) },
  { name: "validate", make: () => validateInterceptor() },
  { name: "authz", make: () => authzInterceptor() },
  { name: "streams", make: (context) => streamsInterceptor(context) },
];

export function interceptorsFor(context: InterceptorContext): Interceptor[] {
  return INTERCEPTORS.map((layer) => layer.make(context));
}
