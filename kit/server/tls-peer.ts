import { X509Certificate } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import type { DetailedPeerCertificate, TLSSocket } from "node:tls";
import type { Peer } from "../interceptors/index.ts";

const MAX_CERTIFICATES = 5;

function chainOf(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = [];
  const seen = new Set<string>();
  let certificate: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  // Node answers an empty object when there is no certificate, and lets a self-signed one be its own issuer.
  while (certificate?.raw !== undefined && !seen.has(certificate.fingerprint256) && chain.length < MAX_CERTIFICATES) {
    seen.add(certificate.fingerprint256);
    chain.push(new Uint8Array(certificate.raw));
    certificate = certificate.issuerCertificate;
  }
  return chain;
}

/** The one of the candidates that issued a leaf, which came alone. */
function issuersOf(leaf: Uint8Array, candidates: readonly Uint8Array[]): Uint8Array[] {
  const certificate = new X509Certificate(leaf);
  const issuer = candidates.find((der) => certificate.checkIssued(new X509Certificate(der)));
  return issuer ? [issuer] : [];
}

/**
 * Tells who is at the other end of a request's connection; looked up once a connection.
 * @param intermediates certificates between our root and any leaf, DER: often the leaf alone is to be had.
 */
export function peers(
  intermediates: () => readonly Uint8Array[],
): (request: IncomingMessage | Http2ServerRequest) => Peer {
  const known = new WeakMap<object, Peer>();
  return (request) => {
    const session = "stream" in request ? request.stream.session : undefined;
    const connection: object = session ?? request.socket;
    const cached = known.get(connection);
    if (cached) return cached;
    const socket = (session?.socket ?? request.socket) as TLSSocket;
    const chain = chainOf(socket);
    const [leaf] = chain;
    const peer: Peer = {
      kind: "tls",
      address: plainAddress(socket.remoteAddress ?? ""),
      chain: leaf && chain.length === 1 ? [leaf, ...issuersOf(leaf, intermediates())] : chain,
    };
    known.set(connection, peer);
    return peer;
  };
}

/** IPv4 in its own notation, also on a socket that listens on both families. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice("::ffff:".length) : address;
}
