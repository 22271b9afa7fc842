import { createHash, randomUUID, X509Certificate } from "node:crypto";
import { Agent, request } from "node:https";
import { isIP } from "node:net";
import { SpanKind } from "@opentelemetry/api";
import { importJWK, type JWK, SignJWT } from "jose";
import * as z from "zod";
import type { Clock } from "../clock/index.ts";
import { Refusal } from "../errors/index.ts";
import { inSpan, traceFields } from "../telemetry/index.ts";
import { type CheckedCsr, checkCsr } from "./csr.ts";
import type { CertificateAuthority, IssuedCertificate } from "./index.ts";
import { pathLengthOf } from "../pki/path-length.ts";
import { certificatesOf, pemOf } from "../pki/pem.ts";
import { parseSpiffe, type SpiffeId } from "../pki/spiffe.ts";
import { verifyChain } from "../pki/verify.ts";
import { SubjectAlternativeNameExtension, X509Certificate as ParsedCertificate } from "../pki/x509.ts";

const ANSWER_TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 65_536;
/** Connections to the CA at once: when all nodes come back after an outage, the others wait their turn or try again. */
const MAX_CONNECTIONS = 32;
const TOKEN_SECONDS = 300;
/** ub-common-name (RFC 5280 appendix A). */
const MAX_COMMON_NAME = 64;
const MIN_TTL = 10;
const MAX_TTL = 86_400;
const DNS_NAME = /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?$/;

const SignAnswer = z.object({ certChain: z.array(z.string().max(MAX_ANSWER_BYTES)).min(1).max(4) });

export interface CaClientOptions {
  /** Base URL of step-ca, https. */
  readonly url: string;
  /**
   * Gives the CA's roots, PEM, the one to pin first, and keys of roots that roots certified: asked again each time, for
   * roots are replaced. The roots are the only ones trusted, for the connection and for what comes back.
   */
  readonly rootPem: () => string;
  readonly provisionerName: string;
  /** Private JWK of the provisioner (RFC 7517), ES256, with its `kid`. */
  readonly provisionerKeyJwk: JWK;
  readonly clock: Clock;
}

/**
 * Client of step-ca. Each signature is authorised by a token of our own that names the request and every name, so that
 * the CA signs what was asked and nothing else; what comes back is compared with what was asked all the same.
 */
export function caClient(options: CaClientOptions): CertificateAuthority {
  const endpoint = new URL("/1.0/sign", options.url);
  let known = trustOf(options.rootPem());
  const trust = (): Trust => {
    const pem = options.rootPem();
    if (pem !== known.pem) known = trustOf(pem);
    return known;
  };

  return {
    roots: async () => trust().roots,
    crossSigned: async () => trust().crossSigned,
    intermediates: async () => trust().intermediates,
    async sign(csr, spiffeId, names, ttlSeconds) {
      const identity = parseSpiffe(spiffeId);
      if (!identity) throw new Error(`${spiffeId} is not a SPIFFE id of this system`);
      if (!Number.isInteger(ttlSeconds) || ttlSeconds < MIN_TTL || ttlSeconds > MAX_TTL) {
        throw new Error(`a certificate lives ${MIN_TTL} to ${MAX_TTL} seconds, not ${ttlSeconds}`);
      }
      const odd = names.find((name) => isIP(name) === 0 && !DNS_NAME.test(name));
      if (odd !== undefined) throw new Error(`${JSON.stringify(odd)} is neither a DNS name nor an IP address`);
      const checked = await checkCsr(csr, spiffeId);
      const { roots, agent } = trust();
      const body = JSON.stringify({
        csr: requestPem(csr),
        ott: await signingToken(options, roots, endpoint.href, csr, identity, [spiffeId, ...names]),
        notAfter: `${ttlSeconds}s`,
      });
      const attributes = { "server.address": endpoint.hostname, "url.path": endpoint.pathname };
      const chain = await inSpan("step-ca/sign", { kind: SpanKind.CLIENT, attributes }, async () =>
        readAnswer(await post(endpoint, agent, body)),
      );
      return checkIssued(chain, roots, options.clock.nowMs(), checked, identity, [spiffeId, ...names], ttlSeconds);
    },
  };
}

interface Trust {
  readonly pem: string;
  readonly roots: readonly Uint8Array[];
  readonly crossSigned: readonly Uint8Array[];
  readonly intermediates: readonly Uint8Array[];
  readonly agent: Agent;
}

function trustOf(pem: string): Trust {
  const { roots = [], crossSigned = [], intermediates = [] } = Object.groupBy(certificatesOf(pem), kindOf);
  if (roots.length === 0) throw new Error("the CA's root file holds no root certificate; give the root as PEM");
  const agent = new Agent({ ca: pemOf(roots), minVersion: "TLSv1.2", maxSockets: MAX_CONNECTIONS });
  return { pem, roots, crossSigned, intermediates, agent };
}

/** Not by its names: all roots of an installation have the same. */
function kindOf(der: Uint8Array): "roots" | "crossSigned" | "intermediates" {
  const certificate = new X509Certificate(der);
  if (certificate.verify(certificate.publicKey)) return "roots";
  return pathLengthOf(der) === 0 ? "intermediates" : "crossSigned";
}

async function signingToken(
  { provisionerName, provisionerKeyJwk, clock }: CaClientOptions,
  roots: readonly Uint8Array[],
  audience: string,
  csr: Uint8Array,
  identity: SpiffeId,
  sans: readonly string[],
): Promise<string> {
  const now = Math.floor(clock.nowMs() / 1000);
  const [root = new Uint8Array()] = roots;
  return new SignJWT({
    sans,
    sha: createHash("sha256").update(root).digest("hex"),
    cnf: { "x5rt#S256": createHash("sha256").update(csr).digest("base64url") },
  })
    .setProtectedHeader({ alg: "ES256", kid: provisionerKeyJwk.kid ?? "", typ: "JWT" })
    .setIssuer(provisionerName)
    .setSubject(commonName(identity))
    .setAudience(audience)
    .setIssuedAt(now)
    .setNotBefore(now)
    .setExpirationTime(now + TOKEN_SECONDS)
    .setJti(randomUUID())
    .sign(await importJWK(provisionerKeyJwk, "ES256"));
}

/** The common name mirrors the id. */
function commonName(identity: SpiffeId): string {
  switch (identity.kind) {
    case "node":
      return identity.nodeId;
    case "service":
      return identity.name;
    case "controller":
      return identity.host.slice(0, MAX_COMMON_NAME);
  }
}

function requestPem(csr: Uint8Array): string {
  const lines =
    Buffer.from(csr)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE REQUEST-----", ...lines, "-----END CERTIFICATE REQUEST-----", ""].join("\n");
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

function post(url: URL, agent: Agent, body: string): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  const trace = traceFields()?.trace_id;
  const headers = {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    // step-ca speaks no OpenTelemetry: its log line carries this as `request-id`.
    ...(trace !== undefined && { "x-request-id": trace }),
  };
  const call = request(url, { method: "POST", headers, signal, agent }, (response) => {
    const chunks: Buffer[] = [];
    let size = 0;
    response.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_ANSWER_BYTES) call.destroy(new Error("the answer is too long"));
      else chunks.push(chunk);
    });
    response.on("error", reject);
    response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
  });
  call.on("error", reject);
  call.end(body);
  return promise.catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    throw unavailable(
      "CA_UNREACHABLE",
      `the certificate authority at ${url.origin} does not answer: ${why}`,
      "start it",
    );
  });
}

function readAnswer({ status, body }: Answer): Uint8Array[] {
  if (status === 400) {
    throw new Refusal("invalid", "CSR_REFUSED", "the certificate authority cannot read the certificate request", {
      field: "csr",
      remedy: "send PKCS #10 in DER, with nothing before or after it",
    });
  }
  if (status !== 201) {
    const remedy = "read the CA's log; provisioner name and key must be those of its ca.json and the clocks must agree";
    throw unavailable("CA_REFUSED", `the certificate authority refused to sign (HTTP ${status})`, remedy);
  }
  return SignAnswer.parse(JSON.parse(body)).certChain.flatMap(certificatesOf);
}

/** A certificate that is not exactly what was asked for is not handed on. */
function checkIssued(
  chain: readonly Uint8Array[],
  roots: readonly Uint8Array[],
  nowMs: number,
  csr: CheckedCsr,
  identity: SpiffeId,
  sans: readonly string[],
  ttlSeconds: number,
): IssuedCertificate {
  const remedy = "the CA's ca.json must be the one that infra/step-ca made";
  const wrong = (what: string) => unavailable("CA_ANSWER", `the CA issued a certificate with ${what}`, remedy);
  const verdict = verifyChain(chain, roots, nowMs, { trustDomain: identity.trustDomain });
  if (!verdict.ok) throw wrong(`a chain that does not hold: ${verdict.reason}`);
  const [leaf = new Uint8Array()] = chain;
  const key = new X509Certificate(leaf).publicKey.export({ type: "spki", format: "der" });
  if (!key.equals(csr.publicKey)) throw wrong("another key than the request's");
  const issued = new ParsedCertificate(leaf).getExtension(SubjectAlternativeNameExtension)?.names.items ?? [];
  if (
    !sameNames(
      sans,
      issued.map((name) => name.value),
    )
  )
    throw wrong("other names than asked for");
  const lifeMs = verdict.notAfter.getTime() - nowMs;
  if (verdict.expired || lifeMs > (ttlSeconds + TOKEN_SECONDS) * 1000) throw wrong("another validity than asked for");
  return { chain, notBefore: verdict.notBefore, notAfter: verdict.notAfter };
}

function sameNames(asked: readonly string[], issued: readonly string[]): boolean {
  const canonical = (names: readonly string[]) => [...new Set(names.map(canonicalName))].toSorted().join("\0");
  return canonical(asked) === canonical(issued);
}

function canonicalName(name: string): string {
  return isIP(name) === 6 ? new URL(`http://[${name}]`).hostname.slice(1, -1) : name.toLowerCase();
}

function unavailable(reason: string, message: string, remedy: string): Refusal {
  return new Refusal("unavailable", reason, message, { remedy });
}
