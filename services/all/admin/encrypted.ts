import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { link, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { PassThrough, Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import { Refusal } from "@cloudvlan/kit/errors";
import { syncFolder } from "@cloudvlan/kit/files";
import { Decrypter, Encrypter } from "age-encryption";

/**
 * Writes a file that only the passphrase opens, whole or not at all, mode 0600: gzip inside age
 * (age-encryption.org/v1, scrypt and ChaCha20-Poly1305), so that `age --decrypt FILE | gunzip` reads it too.
 * @throws Refusal `BACKUP_UNREADABLE` when the file is there or cannot be made.
 */
export async function writeEncrypted(
  path: string,
  passphrase: string,
  write: (out: Writable) => Promise<void>,
): Promise<void> {
  const draft = `${path}.${randomBytes(8).toString("hex")}`;
  const file = await open(draft, "wx", 0o600).catch((error: unknown) => {
    throw refused(draft, error);
  });
  try {
    const encrypter = new Encrypter();
    encrypter.setPassphrase(passphrase);
    const plain = new PassThrough();
    const packed = plain.pipe(createGzip());
    // The encryption begins when there is something to read.
    const writing = write(plain).then(
      () => void plain.end(),
      (error: unknown) => {
        packed.destroy(error instanceof Error ? error : new Error(String(error)));
        throw error;
      },
    );
    const storing = encrypter.encrypt(Readable.toWeb(packed) as ReadableStream<Uint8Array>).then(async (sealed) => {
      for await (const chunk of sealed) await file.writeFile(chunk);
    });
    const [wrote, stored] = await Promise.allSettled([writing, storing]);
    if (wrote.status === "rejected") throw wrote.reason;
    if (stored.status === "rejected") throw stored.reason;
    await file.sync();
    // By a link, which never replaces a file that is there.
    await link(draft, path).catch((error: unknown) => {
      throw refused(path, error);
    });
    await syncFolder(dirname(path));
  } finally {
    await file.close();
    await rm(draft, { force: true });
  }
}

/**
 * The lines of a file that `writeEncrypted` wrote.
 * @throws Refusal `BACKUP_UNREADABLE` when the passphrase is another one, or the file is damaged or cut short.
 */
export async function* readEncrypted(path: string, passphrase: string): AsyncIterable<string> {
  const decrypter = new Decrypter();
  decrypter.addPassphrase(passphrase);
  try {
    const file = createReadStream(path);
    const opened = await decrypter.decrypt(Readable.toWeb(file) as ReadableStream<Uint8Array>);
    const text = createGunzip();
    const reading = pipeline(Readable.fromWeb(opened as never), text);
    // A failure of the pipe is that of its last part, which the loop meets.
    reading.catch(() => undefined);
    yield* createInterface({ input: text, crlfDelay: Infinity });
    await reading;
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw refused(path, error);
  }
}

function refused(path: string, error: unknown): Refusal {
  const why = error instanceof Error ? error.message : String(error);
  return new Refusal("invalid", "BACKUP_UNREADABLE", `${path} cannot be read or written as a backup: ${why}`, {
    remedy: "check the path and the passphrase; use another copy when the file is damaged",
  });
}
