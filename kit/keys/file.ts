import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { mkdir, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { createWhole } from "../files/index.ts";
import type { KeyProvider } from "./index.ts";
import { derive, KEY_BYTES, type Keyring, parseRing } from "./ring.ts";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const FORMAT = 1;
const MAX_RING_BYTES = 4096;

/**
 * Key provider over the master keys in a file, made with one at first use. Every context has its own key (HKDF-SHA256,
 * RFC 5869); wrapping is AES-256-GCM (NIST SP 800-38D) with a random nonce and the context as associated data. What an older
 * key of the ring wrapped or sealed holds too.
 * @param path file of mode 0600 in a folder that only its owner may write; both are made when absent.
 * @throws Error naming the file and the remedy when it is readable by others, foreign, or no keyring.
 */
export async function fileKeyProvider(path: string): Promise<KeyProvider> {
  await createOnce(path);
  return ringProvider(await readRing(path));
}

/** Key provider over keys in memory. */
export function ringProvider({ masters, lasting }: Keyring): KeyProvider {
  const [newest] = masters;
  const macWith = (key: Buffer, data: Uint8Array): Buffer => createHmac("sha256", key).update(data).digest();
  const macKeys = (context: string): Buffer[] => {
    const kept = lasting.get(context);
    return kept ? [kept] : masters.map((master) => derive(master, "mac", context));
  };

  return {
    async wrap(context, secret) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv("aes-256-gcm", derive(newest, "wrap", context), nonce);
      cipher.setAAD(Buffer.from(context));
      const sealed = [cipher.update(secret), cipher.final()];
      return new Uint8Array(Buffer.concat([Buffer.of(FORMAT), nonce, ...sealed, cipher.getAuthTag()]));
    },
    async unwrap(context, wrapped) {
      if (wrapped.length >= 1 + NONCE_BYTES + TAG_BYTES && wrapped[0] === FORMAT) {
        for (const master of masters) {
          const secret = opened(master, context, wrapped);
          if (secret) return secret;
        }
      }
      throw new Error(`wrapped bytes were not made by this key provider for the context ${context}`);
    },
    mac: (context, data) => new Uint8Array(macWith(lasting.get(context) ?? derive(newest, "mac", context), data)),
    verify: (context, data, mac) =>
      // Each key is tried, so that time tells nothing of which one made it.
      macKeys(context)
        .map((key) => mac.length === KEY_BYTES && timingSafeEqual(mac, macWith(key, data)))
        .includes(true),
  };
}

/** Undefined when another key wrapped it, or for another context. */
function opened(master: Buffer, context: string, wrapped: Uint8Array): Uint8Array | undefined {
  const nonce = wrapped.subarray(1, 1 + NONCE_BYTES);
  const decipher = createDecipheriv("aes-256-gcm", derive(master, "wrap", context), nonce, {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(Buffer.from(context));
  decipher.setAuthTag(wrapped.subarray(wrapped.length - TAG_BYTES));
  const body = decipher.update(wrapped.subarray(1 + NONCE_BYTES, wrapped.length - TAG_BYTES));
  try {
    return new Uint8Array(Buffer.concat([body, decipher.final()]));
  } catch {
    return undefined; // the tag does not hold: the only way in which `final` fails
  }
}

async function createOnce(path: string): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { mode } = await stat(folder);
  if (mode & 0o022) throw new Error(`${folder} is writable by others; run chmod go-w ${folder}`);
  if (await exists(path)) return;

  await createWhole(path, randomBytes(KEY_BYTES));
}

/** @throws Error naming the file and the remedy. */
export async function readRing(path: string): Promise<Keyring> {
  const file = await open(path, "r");
  try {
    const { mode, size, uid } = await file.stat();
    if (mode & 0o077) throw new Error(`key file ${path} is readable by others; run chmod 600 ${path}`);
    const self = process.geteuid?.();
    if (self !== undefined && uid !== self && uid !== 0) {
      throw new Error(`key file ${path} belongs to another user; run chown ${self} ${path}`);
    }
    const remedy = "restore it from the backup; without it nothing wrapped in the database can be read";
    const ring = size <= MAX_RING_BYTES ? parseRing(await file.readFile()) : undefined;
    if (!ring)
      throw new Error(`key file ${path} has ${size} bytes instead of ${KEY_BYTES}, and is no keyring; ${remedy}`);
    return ring;
  } finally {
    await file.close();
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return false;
    throw error;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
