import { createHash, timingSafeEqual, X509Certificate } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { Refusal } from "../errors/index.ts";
import { pathLengthOf } from "../pki/index.ts";
import { traced } from "../telemetry/index.ts";
import { resilient } from "./resilient.ts";

const MAX_BUNDLE_BYTES = 65_536;
/** Certificates of a bundle that are looked at. */
const MAX_CERTIFICATES = 32;

interface Bundle {
  readonly roots: readonly Uint8Array[];
  readonly crossSigned: readonly Uint8Array[];
}

/**
 * The roots of a bundle that are to be trusted: those that are trusted already, and those whose key one of them
 * certified, itself or by one that it certified. Whoever gave the bundle need not be trusted.
 * @param trusted DER.
 */
export function trustedRootsOf(trusted: readonly Uint8Array[], bundle: Bundle): Uint8Array[] {
  const roots = parsed(bundle.roots);
  const pending = new Set(parsed(bundle.crossSigned));
  const keys = parsed(trusted).map(({ publicKey }) => publicKey);
  for (let grown = true; grown;) {
    grown = false;
    for (const cross of pending) {
      if (!cross.ca || pathLengthOf(cross.raw) === 0 || !keys.some((key) => cross.verify(key))) continue;
      keys.push(cross.publicKey);
      pending.delete(cross);
      grown = true;
    }
  }
  return roots
    .filter((root) => root.ca && root.verify(root.publicKey) && keys.some((key) => key.equals(root.publicKey)))
    .map(({ raw }) => new Uint8Array(raw));
}

function parsed(certificates: readonly Uint8Array[]): X509Certificate[] {
  return certificates.slice(0, MAX_CERTIFICATES).flatMap((der) => {
    try {
      return [new X509Certificate(der)];
    } catch {
      return []; // certifies nothing
    }
  });
}

/**
 * Asks a server that is not trusted yet for its roots and believes those alone whose fingerprint is known.
 * @param caSha256 SHA-256 of a root certificate (DER), 32 bytes, from a join string or an operator.
 * @returns the root of that fingerprint and those that it leads to, DER.
 * @throws Refusal `unauthenticated` when there is none, ConnectError when the server cannot be reached.
 */
export async function fetchTrustBundle(url: string, caSha256: Uint8Array): Promise<Uint8Array[]> {
  if (caSha256.length !== 32) throw new TypeError("a CA fingerprint has 32 bytes");
  const bundle = await askForBundle(url);
  const pinned = bundle.roots.filter((der) => timingSafeEqual(createHash("sha256").update(der).digest(), caSha256));
  if (pinned.length > 0) return trustedRootsOf(pinned, bundle);
  throw mismatch(url);
}

/**
 * Asks a server that is not trusted any more for its roots, and believes those that the known roots lead to: the CA's root
 * was replaced while nobody asked.
 * @param trusted DER.
 * @throws Refusal `unauthenticated` when they lead to none, ConnectError when the server cannot be reached.
 */
export async function followTrustBundle(url: string, trusted: readonly Uint8Array[]): Promise<Uint8Array[]> {
  const roots = trustedRootsOf(trusted, await askForBundle(url));
  if (roots.length > 0) return roots;
  throw mismatch(url);
}

function mismatch(url: string): Refusal {
  const message = `${new URL(url).origin} does not have the expected certificate authority`;
  return new Refusal("unauthenticated", "CA_MISMATCH", message, {
    remedy: "check the URL and the CA fingerprint; somebody may be between you and the control plane",
  });
}

async function askForBundle(url: string): Promise<Bundle> {
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
    return bundle ?? { roots: [], crossSigned: [] };
  } finally {
    sessions.abort();
  }
}
