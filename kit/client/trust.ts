import { createHash, timingSafeEqual } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { Refusal } from "../errors/index.ts";
import { traced } from "../telemetry/index.ts";
import { resilient } from "./resilient.ts";

const MAX_BUNDLE_BYTES = 65_536;

/**
 * Asks a server that is not trusted yet for its roots and believes those alone whose fingerprint is known.
 * @param caSha256 SHA-256 of a root certificate (DER), 32 bytes, from a join string or an operator.
 * @returns the roots of that fingerprint, DER.
 * @throws Refusal `unauthenticated` when there is none, ConnectError when the server cannot be reached.
 */
export async function fetchTrustBundle(url: string, caSha256: Uint8Array): Promise<Uint8Array[]> {
  if (caSha256.length !== 32) throw new TypeError("a CA fingerprint has 32 bytes");
  const { protocol, origin } = new URL(url);
  if (protocol !== "https:") throw new TypeError(`the control plane is reached by https, not ${url}`);
  // Nothing secret is sent, and nothing that comes back is believed without the fingerprint.
  const sessions = new Http2SessionManager(origin, {}, { rejectUnauthorized: false, minVersion: "TLSv1.3" });
  try {
    const transport = createGrpcTransport({
      baseUrl: origin,
      sessionManager: sessions,
      readMaxBytes: MAX_BUNDLE_BYTES,
    });
    const { bundle } = await createClient(CertificateService, traced(resilient(transport, origin))).getTrustBundle({});
    const roots = (bundle?.roots ?? []).filter((der) =>
      timingSafeEqual(createHash("sha256").update(der).digest(), caSha256),
    );
    if (roots.length > 0) return roots;
  } finally {
    sessions.abort();
  }
  throw new Refusal("unauthenticated", "CA_MISMATCH", `${origin} does not have the expected certificate authority`, {
    remedy: "check the URL and the CA fingerprint; somebody may be between you and the control plane",
  });
}
