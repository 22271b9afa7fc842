import { createPrivateKey, X509Certificate } from "node:crypto";
import { certificatesOf, pemOf } from "@cloudvlan/kit/pki";
import { damaged, moveWhole, readPrivate, removeFile, statePath, writeWhole } from "../state/files.ts";
import { acceptCertificate, belongsTo, type ExpectedNode, type TlsIdentity } from "./identity.ts";

const KEY = "tls.key";
const CHAIN = "tls.pem";
const ROOTS = "roots.pem";
const NEXT = ".next";

/**
 * Keeps an identity. It is three files: all are written beside the old ones, the certificate last, and moved into place,
 * the key first and the certificate last, so that `loadIdentity` can tell after a crash which of the two is whole.
 */
export async function keepIdentity(state: string, identity: TlsIdentity): Promise<void> {
  await writeWhole(statePath(state, ROOTS + NEXT), pemOf(identity.roots));
  await writeWhole(statePath(state, KEY + NEXT), identity.keyPem);
  await writeWhole(statePath(state, CHAIN + NEXT), pemOf(identity.chain));
  await finishMove(state);
}

/**
 * Reads the identity; finishes a move that a crash interrupted.
 * @throws Refusal `STATE_DAMAGED` when a file is missing or garbled, `CERTIFICATE_WRONG` when the
 * certificate is not this node's.
 */
export async function loadIdentity(state: string, expected: ExpectedNode, nowMs: number): Promise<TlsIdentity> {
  await finishMove(state);
  const keyPem = await required(state, KEY);
  understood(statePath(state, KEY), "it holds no private key", () => createPrivateKey(keyPem));
  const chain = await certificatesIn(state, CHAIN);
  const roots = await certificatesIn(state, ROOTS);
  return acceptCertificate(keyPem, chain, roots, expected, nowMs);
}

async function certificatesIn(state: string, name: string): Promise<Uint8Array[]> {
  const text = await required(state, name);
  return understood(statePath(state, name), "it holds no certificate, or a garbled one", () => {
    const found = certificatesOf(text);
    if (found.length === 0) throw new Error("no certificate");
    for (const der of found) new X509Certificate(der);
    return found;
  });
}

/** What `parse` gives. @throws Refusal `STATE_DAMAGED` when it throws: its own words are about the encoding. */
function understood<T>(path: string, why: string, parse: () => T): T {
  try {
    return parse();
  } catch {
    throw damaged(path, why);
  }
}

async function finishMove(state: string): Promise<void> {
  const nextChain = await readPrivate(statePath(state, CHAIN + NEXT));
  if (nextChain === undefined) return;
  const nextKey = await readPrivate(statePath(state, KEY + NEXT));
  const key = await readPrivate(statePath(state, KEY));
  const chain = certificatesOf(nextChain);
  if (fits(chain, nextKey)) {
    await moveWhole(statePath(state, KEY + NEXT), statePath(state, KEY));
  } else if (!fits(chain, key)) {
    await removeFile(statePath(state, CHAIN + NEXT));
    return;
  }
  if ((await readPrivate(statePath(state, ROOTS + NEXT))) !== undefined) {
    await moveWhole(statePath(state, ROOTS + NEXT), statePath(state, ROOTS));
  }
  await moveWhole(statePath(state, CHAIN + NEXT), statePath(state, CHAIN));
}

/** False also for what is garbled: such a certificate or key belongs to nothing. */
function fits(chain: readonly Uint8Array[], keyPem: string | undefined): boolean {
  try {
    return keyPem !== undefined && belongsTo(chain, keyPem);
  } catch {
    return false;
  }
}

async function required(state: string, name: string): Promise<string> {
  const text = await readPrivate(statePath(state, name));
  if (text === undefined) throw damaged(statePath(state, name), "it is missing");
  return text;
}
