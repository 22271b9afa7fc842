import { certificatesOf, pemOf } from "@cloudvlan/kit/pki";
import { damaged, moveWhole, readPrivate, removeFile, statePath, writeWhole } from "../state/files.ts";
import { acceptCertificate, belongsTo, type ExpectedNode, type TlsIdentity } from "./identity.ts";

const KEY = "tls.key";
const CHAIN = "tls.pem";
const ROOTS = "roots.pem";
const NEXT = ".next";

/**
 * Keeps an identity. Key and certificate are two files: both are written beside the old ones and moved into place, key
 * first, so that `loadIdentity` can tell after a crash which of the two pairs is whole.
 */
export async function keepIdentity(state: string, identity: TlsIdentity): Promise<void> {
  await writeWhole(statePath(state, ROOTS), pemOf(identity.roots));
  await writeWhole(statePath(state, KEY + NEXT), identity.keyPem);
  await writeWhole(statePath(state, CHAIN + NEXT), pemOf(identity.chain));
  await finishMove(state);
}

/**
 * Reads the identity; finishes a move that a crash interrupted.
 * @throws Refusal `STATE_DAMAGED` when a file is missing or does not fit the others, `CERTIFICATE_WRONG` when the
 * certificate is not this node's.
 */
export async function loadIdentity(state: string, expected: ExpectedNode, nowMs: number): Promise<TlsIdentity> {
  await finishMove(state);
  const keyPem = await required(state, KEY);
  const chain = certificatesOf(await required(state, CHAIN));
  const roots = certificatesOf(await required(state, ROOTS));
  return acceptCertificate(keyPem, chain, roots, expected, nowMs);
}

async function finishMove(state: string): Promise<void> {
  const nextChain = await readPrivate(statePath(state, CHAIN + NEXT));
  if (nextChain === undefined) return;
  const nextKey = await readPrivate(statePath(state, KEY + NEXT));
  const key = await readPrivate(statePath(state, KEY));
  const chain = certificatesOf(nextChain);
  if (nextKey !== undefined && belongsTo(chain, nextKey)) {
    await moveWhole(statePath(state, KEY + NEXT), statePath(state, KEY));
  } else if (key === undefined || !belongsTo(chain, key)) {
    await removeFile(statePath(state, CHAIN + NEXT));
    return;
  }
  await moveWhole(statePath(state, CHAIN + NEXT), statePath(state, CHAIN));
}

async function required(state: string, name: string): Promise<string> {
  const text = await readPrivate(statePath(state, name));
  if (text === undefined) throw damaged(statePath(state, name), "it is missing");
  return text;
}
