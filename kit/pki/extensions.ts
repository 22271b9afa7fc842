import { readElements, readInside, TAG } from "./der.ts";

/** What a certificate says of itself beyond its key, names and validity (RFC 5280 section 4.2). */
export interface Extensions {
  readonly isAuthority: boolean;
  /** Authorities allowed below; undefined for any number. */
  readonly pathLength: number | undefined;
  readonly mayCertify: boolean;
  /** URI names. */
  readonly uris: readonly string[];
  /** An extension that must be understood is not one of those read here, nor the extended key usage. */
  readonly hasUnknownCritical: boolean;
}

/** Object ids under 2.5.29, as DER has them. */
const ID = { keyUsage: "551d0f", subjectAltName: "551d11", basicConstraints: "551d13", extendedKeyUsage: "551d25" };
const KNOWN = new Set(Object.values(ID));

/** `extensions [3]` of TBSCertificate. */
const EXTENSIONS_TAG = 0xa3;
/** `uniformResourceIdentifier [6]` of GeneralName. */
const URI_TAG = 0x86;
/** `keyCertSign (5)` of KeyUsage. */
const KEY_CERT_SIGN = 0x04;
const MAX_PATH_LENGTH = 127;

/**
 * Reads the extensions of a certificate.
 * @param der as a parser that also checks signatures has it: nothing but extensions is looked at.
 * @throws RangeError when they are not what the RFC says, or one stands there twice.
 */
export function readExtensions(der: Uint8Array): Extensions {
  const [body] = readInside(der, TAG.sequence);
  if (body?.tag !== TAG.sequence) throw new RangeError("not a certificate");
  const wrapped = readElements(body.body).find(({ tag }) => tag === EXTENSIONS_TAG);
  const values = new Map<string, Uint8Array>();
  let hasUnknownCritical = false;
  for (const { tag, body: extension } of wrapped ? readInside(wrapped.body, TAG.sequence) : []) {
    if (tag !== TAG.sequence) throw new RangeError("an extension is not a sequence");
    const { id, isCritical, value } = readExtension(extension);
    if (values.has(id)) throw new RangeError("an extension stands there twice");
    values.set(id, value);
    if (isCritical && !KNOWN.has(id)) hasUnknownCritical = true;
  }
  return {
    ...basicConstraints(values.get(ID.basicConstraints)),
    mayCertify: mayCertify(values.get(ID.keyUsage)),
    uris: uriNames(values.get(ID.subjectAltName)),
    hasUnknownCritical,
  };
}

function readExtension(bytes: Uint8Array): { id: string; isCritical: boolean; value: Uint8Array } {
  const parts = readElements(bytes);
  const [id, critical] = parts;
  const value = parts.at(-1);
  const hasCritical = parts.length === 3;
  if (id?.tag !== TAG.objectId || value?.tag !== TAG.octetString || parts.length < 2 || parts.length > 3)
    throw new RangeError("an extension has other parts than it must have");
  if (hasCritical && critical?.tag !== TAG.boolean)
    throw new RangeError("an extension has other parts than it must have");
  return {
    id: Buffer.from(id.body).toString("hex"),
    isCritical: hasCritical && critical?.body[0] !== 0,
    value: value.body,
  };
}

function basicConstraints(value: Uint8Array | undefined): Pick<Extensions, "isAuthority" | "pathLength"> {
  const [first, second, ...others] = value ? readInside(value, TAG.sequence) : [];
  if (!first) return { isAuthority: false, pathLength: undefined };
  if (first.tag !== TAG.boolean || (second && second.tag !== TAG.integer) || others.length > 0)
    throw new RangeError("basic constraints have other parts than they must have");
  if (!second) return { isAuthority: first.body[0] === 0xff, pathLength: undefined };
  const [pathLength] = second.body;
  if (second.body.length !== 1 || pathLength === undefined || pathLength > MAX_PATH_LENGTH)
    throw new RangeError("a path length that is not a small number");
  return { isAuthority: first.body[0] === 0xff, pathLength };
}

function mayCertify(value: Uint8Array | undefined): boolean {
  if (!value) return false;
  const [usage, ...others] = readElements(value);
  if (usage?.tag !== TAG.bitString || others.length > 0) throw new RangeError("the key usage is not a bit string");
  return ((usage.body[1] ?? 0) & KEY_CERT_SIGN) !== 0;
}

function uriNames(value: Uint8Array | undefined): string[] {
  const names = value ? readInside(value, TAG.sequence) : [];
  return names.filter(({ tag }) => tag === URI_TAG).map(({ body }) => Buffer.from(body).toString("latin1"));
}
