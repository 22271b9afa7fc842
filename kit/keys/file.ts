import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, timingSafeEqual } from "node:crypto";
import { mkdir, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { createWhole } from "../files/index.ts";
import type { KeyProvider } from "./index.ts";

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const FORMAT = 1;

/**
 * Key provider over a master key of 32 bytes in a file, made at first use. Every context has its own key (HKDF-SHA256,
 * RFC 5869); wrapping is AES-256-GCM (NIST SP 800-38D) with a random nonce and the context as associated data.
 * @param path file of mode 0600 in a folder that only its owner may write; both are made when absent.
 * @throws Error naming the file and the remedy when it is readable by others, foreign, or not 32 bytes long.
 */
export async function fileKeyProvider(path: string): Promise<KeyProvider> {
  await createOnce(path);
  const master = await readMasterKey(path);
  const derive = (purpose: "wrap" | "mac", context: string): Buffer =>
    Buffer.from(hkdfSync("sha256", master, "", `cloudvlan/${purpose}/v1\0${context}`, KEY_BYTES));

  const macOf = (context: string, data: Uint8Array): Buffer =>
    createHmac("sha256", derive("mac", context)).update(data).digest();

  return {
    async wrap(context, secret) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv("aes-256-gcm", derive("wrap", context), nonce);
      cipher.setAAD(Buffer.from(context));
      const sealed = [cipher.update(secret), cipher.final()];
      return new Uint8Array(Buffer.concat([Buffer.of(FORMAT), nonce, ...sealed, cipher.getAuthTag()]));
    },
    async unwrap(context, wrapped) {
      const refusal = `wrapped bytes were not made by this key provider for the context ${context}`;
      if (wrapped.length < 1 + NONCE_BYTES + TAG_BYTES || wrapped[0] !== FORMAT) throw new Error(refusal);
      const nonce = wrapped.subarray(1, 1 + NONCE_BYTES);
      const decipher = createDecipheriv("aes-256-gcm", derive("wrap", context), nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(Buffer.from(context));
      decipher.setAuthTag(wrapped.subarray(wrapped.length - TAG_BYTES));
      try {
        const body = wrapped.subarray(1 + NONCE_BYTES, wrapped.length - TAG_BYTES);
        return new Uint8Array(Buffer.concat([decipher.update(body), decipher.final()]));
      } catch (cause) {
        throw new Error(refusal, { cause });
      }
    },
    mac: (context, data) => new Uint8Array(macOf(context, data)),
    verify(context, data, mac) {
      const expected = macOf(context, data);
      return mac.length === expected.length && timingSafeEqual(mac, expected);
    },
  };
}

async function createOnce(path: string): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { mode } = await stat(folder);
  if (mode & 0o022) throw new Error(`${folder} is writable by others; run chmod go-w ${folder}`);
  if (await exists(path)) return;

  await createWhole(path, randomBytes(KEY_BYTES));
}

async function readMasterKey(path: string): Promise<Buffer> {
  const file = await open(path, "r");
  try {
    const { mode, size, uid } = await file.stat();
    if (mode & 0o077) throw new Error(`key file ${path} is readable by others; run chmod 600 ${path}`);
    const self = process.geteuid?.();
    if (self !== undefined && uid !== self && uid !== 0) {
      throw new Error(`key file ${path} belongs to another user; run chown ${self} ${path}`);
    }
    const remedy = "restore it from the backup; without it nothing wrapped in the database can be read";
    if (size !== KEY_BYTES) throw new Error(`key file ${path} has ${size} bytes instead of ${KEY_BYTES}; ${remedy}`);
    return await file.readFile();
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
