import { randomBytes } from "node:crypto";
import { replaceWhole } from "../files/index.ts";
import { readRing, ringProvider } from "./file.ts";
import type { KeyProvider } from "./index.ts";
import { formatRing, KEY_BYTES, type Keyring } from "./ring.ts";

/** A replacement of the master key that is under way. */
export interface MasterRotation {
  /** Opens what either key made; makes under the new one. */
  readonly both: KeyProvider;
  /** The new key alone. */
  readonly newest: KeyProvider;
  /** Drops the former key: whatever is still under it is lost. */
  finish(): Promise<void>;
}

/**
 * Puts a new key before the one in the file, durably, or goes on with a replacement that was interrupted.
 * @throws Error naming the file and the remedy when it cannot be used.
 */
export async function beginMasterRotation(path: string): Promise<MasterRotation> {
  const found = await readRing(path);
  const ring: Keyring =
    found.masters.length > 1 ? found : { ...found, masters: [randomBytes(KEY_BYTES), ...found.masters] };
  if (ring !== found) await replaceWhole(path, formatRing(ring));
  const newest: Keyring = { ...ring, masters: [ring.masters[0]] };
  return {
    both: ringProvider(ring),
    newest: ringProvider(newest),
    finish: () => replaceWhole(path, formatRing(newest)),
  };
}
