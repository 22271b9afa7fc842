import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import { Refusal } from "../errors/index.ts";
import { Pkcs10CertificateRequest, SubjectAlternativeNameExtension } from "../pki/x509.ts";

const MAX_CSR_BYTES = 4096;

/** The library types this by the browser's library, which we do not load. */
interface SignatureAlgorithm {
  readonly name?: string;
  readonly hash?: { readonly name?: string };
}

export interface CheckedCsr {
  readonly der: Uint8Array;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** SHA-256 of `publicKey`: who asks, across repetitions. */
  readonly keySha256: Uint8Array;
}

/**
 * Parses a certificate request from outside and refuses what must not be signed.
 * @param der PKCS #10, at most 4,096 bytes; ECDSA P-256 with SHA-256, its own signature good.
 * @param identity the SPIFFE id it may name; without one, it may name nothing.
 * @throws Refusal `invalid` naming the field `csr`.
 */
export async function checkCsr(der: Uint8Array, identity?: string): Promise<CheckedCsr> {
  const request = parse(der);
  const key = publicKeyOf(request);
  if (key.asymmetricKeyType !== "ec" || key.asymmetricKeyDetails?.namedCurve !== "prime256v1") {
    throw refusal("CSR_KEY", "the certificate request's key is not ECDSA P-256");
  }
  const { name, hash } = request.signatureAlgorithm as unknown as SignatureAlgorithm;
  if (name !== "ECDSA" || hash?.name !== "SHA-256") {
    throw refusal("CSR_ALGORITHM", "the certificate request is not signed with ECDSA and SHA-256");
  }
  if (!(await signatureHolds(request))) {
    throw refusal("CSR_SIGNATURE", "the certificate request's signature does not hold for its key");
  }
  checkNames(request, identity);
  const publicKey = new Uint8Array(key.export({ type: "spki", format: "der" }));
  return { der, publicKey, keySha256: new Uint8Array(createHash("sha256").update(publicKey).digest()) };
}

function parse(der: Uint8Array): Pkcs10CertificateRequest {
  if (der.length > MAX_CSR_BYTES) throw refusal("CSR_SIZE", `the certificate request is over ${MAX_CSR_BYTES} bytes`);
  try {
    return new Pkcs10CertificateRequest(new Uint8Array(der));
  } catch {
    throw refusal("CSR_MALFORMED", "the certificate request cannot be parsed as PKCS #10 DER");
  }
}

function publicKeyOf(request: Pkcs10CertificateRequest): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: "der", type: "spki" });
  } catch {
    throw refusal("CSR_KEY", "the certificate request's key cannot be parsed");
  }
}

async function signatureHolds(request: Pkcs10CertificateRequest): Promise<boolean> {
  try {
    return await request.verify();
  } catch {
    return false;
  }
}

function checkNames(request: Pkcs10CertificateRequest, identity: string | undefined): void {
  if (request.subject !== "") {
    throw refusal("CSR_SUBJECT", "the certificate request names a subject", "leave the subject empty");
  }
  for (const extension of request.extensions) {
    const names = extension instanceof SubjectAlternativeNameExtension ? extension.names.items : undefined;
    if (!names?.every((asked) => asked.type === "url" && asked.value === identity)) {
      throw refusal("CSR_NAME", "the certificate request asks for a name that is not its own", "ask for no extensions");
    }
  }
}

function refusal(
  reason: string,
  message: string,
  remedy = "make an ECDSA P-256 key and sign the request with it",
): Refusal {
  return new Refusal("invalid", reason, message, { field: "csr", remedy });
}
