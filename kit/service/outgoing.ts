import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { currentScope } from "../caller/index.ts";
import { DEFAULT_TIMEOUT_MS } from "../client/resilient.ts";
import { inTransaction } from "../db/index.ts";
import { Refusal, refusalFrom } from "../errors/index.ts";
import { CALL_CONTEXT_HEADER, REQUEST_ID_HEADER } from "../interceptors/index.ts";
import { withHooks } from "../interceptors/iterables.ts";

function requireNoTransaction(): void {
  if (inTransaction()) {
    throw new Error("an RPC inside a database transaction: locks are held while another service is waited for");
  }
}

function headersWithScope(header: ConstructorParameters<typeof Headers>[0]): Headers {
  const headers = new Headers(header);
  const scope = currentScope();
  if (!scope) return headers;
  headers.set(REQUEST_ID_HEADER, scope.requestId);
  if (scope.callContext !== undefined) headers.set(CALL_CONTEXT_HEADER, scope.callContext);
  return headers;
}

/** What a service's handler gets to see: a refusal of the other service as a refusal, its absence as unavailability. */
function asRefusal(error: unknown): unknown {
  if (!(error instanceof ConnectError)) return error;
  if (error.code === Code.Unavailable) {
    return (
      refusalFrom(error) ??
      new Refusal("unavailable", "UPSTREAM_UNAVAILABLE", "a part of the control plane does not answer", {
        remedy: "try again",
      })
    );
  }
  return refusalFrom(error) ?? error;
}

/**
 * The way from one service to another, in process or not: no call inside a transaction, the caller's authority and request
 * id go along, a unary call ends with the request it is made for, and has a deadline.
 */
export function outgoing(transport: () => Transport): Transport {
  return {
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      requireNoTransaction();
      const outer = currentScope()?.signal;
      const linked = outer && signal ? AbortSignal.any([outer, signal]) : (outer ?? signal);
      const headers = headersWithScope(header);
      try {
        return await transport().unary(method, linked, timeoutMs ?? DEFAULT_TIMEOUT_MS, headers, input, contextValues);
      } catch (error) {
        throw asRefusal(error);
      }
    },
    async stream(method, signal, timeoutMs, header, input, contextValues) {
      requireNoTransaction();
      const headers = headersWithScope(header);
      try {
        const response = await transport().stream(method, signal, timeoutMs, headers, input, contextValues);
        return { ...response, message: withHooks(response.message, { convert: asRefusal }) };
      } catch (error) {
        throw asRefusal(error);
      }
    },
  };
}
