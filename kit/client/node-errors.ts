import { Code, ConnectError } from "@connectrpc/connect";
import { Refusal } from "../errors/index.ts";

/** Errors of sockets and of HTTP/2 sessions that say: not now. */
const UNREACHABLE = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EPIPE",
  "ETIMEDOUT",
  "ERR_HTTP2_GOAWAY_SESSION",
  "ERR_HTTP2_INVALID_SESSION",
  "ERR_HTTP2_SESSION_ERROR",
  "ERR_HTTP2_STREAM_CANCEL",
]);

const NOT_TRUSTED =
  /^(ERR_TLS_CERT_ALTNAME_INVALID|CERT_|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|SERVER_NOT_TRUSTED)/;

function codesOf(error: unknown): string[] {
  const codes: string[] = [];
  for (let current = error, depth = 0; current instanceof Error && depth < 8; current = current.cause, depth++) {
    if ("code" in current && typeof current.code === "string") codes.push(current.code);
  }
  return codes;
}

/**
 * Says what a failed connection means, in place of what the HTTP/2 library makes of it.
 * @param target whom was called, for the message.
 */
export function explainFailure(error: unknown, target: string): ConnectError {
  const codes = codesOf(error);
  const untrusted = codes.find((code) => NOT_TRUSTED.test(code));
  if (untrusted === "CERT_NOT_YET_VALID" || untrusted === "CERT_HAS_EXPIRED") {
    const what = untrusted === "CERT_HAS_EXPIRED" ? "past its validity" : "not valid yet";
    const message = `the certificate of ${target} is ${what}, by this machine's clock (${untrusted})`;
    return new Refusal("unauthenticated", "SERVER_NOT_TRUSTED", message, {
      remedy: "check the clock of this machine; when it is right, the controller must renew its certificate",
    }).toConnectError();
  }
  if (untrusted !== undefined) {
    return new Refusal("unauthenticated", "SERVER_NOT_TRUSTED", `${target} is not who it should be (${untrusted})`, {
      remedy:
        "check the URL and the CA this client trusts; a machine that was away while the CA was replaced has to join again",
    }).toConnectError();
  }
  const code = codes.find((candidate) => UNREACHABLE.has(candidate));
  const told = ConnectError.from(error);
  const refusedStream = told.code === Code.Internal && /REFUSED_STREAM|GOAWAY/.test(told.rawMessage);
  if (code !== undefined || refusedStream) {
    return new Refusal("unavailable", "UNREACHABLE", `${target} cannot be reached (${code ?? "draining"})`, {
      remedy: "check that it runs and try again",
    }).toConnectError();
  }
  return told;
}
