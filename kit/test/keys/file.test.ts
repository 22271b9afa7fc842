import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileKeyProvider } from "@cloudvlan/kit/keys";

describe("file key provider", () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "keys-"));
  });
  afterEach(() => rm(dir, { recursive: true }));

  it("makes a key that only its owner can read, and reads it again", async () => {
    const path = join(dir, "new", "master.key");
    const first = await fileKeyProvider(path);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.equal((await stat(join(dir, "new"))).mode & 0o777, 0o700);
    const wrapped = await first.wrap("a", Buffer.from("secret"));
    const again = await fileKeyProvider(path);
    assert.equal(Buffer.from(await again.unwrap("a", wrapped)).toString(), "secret");
  });

  it("agrees on one key when many start at once", async () => {
    const path = join(dir, "master.key");
    const providers = await Promise.all(Array.from({ length: 16 }, () => fileKeyProvider(path)));
    const macs = providers.map((keys) => Buffer.from(keys.mac("c", Buffer.from("x"))).toString("hex"));
    assert.equal(new Set(macs).size, 1);
  });

  it("refuses a key that others may read, a wrong length and a folder that others may write", async () => {
    const readable = join(dir, "readable.key");
    await writeFile(readable, Buffer.alloc(32), { mode: 0o640 });
    await assert.rejects(fileKeyProvider(readable), /readable by others; run chmod 600/);
    const short = join(dir, "short.key");
    await writeFile(short, Buffer.alloc(31), { mode: 0o600 });
    await assert.rejects(fileKeyProvider(short), /31 bytes instead of 32, and is no keyring; restore it/);
    const open = join(dir, "open");
    await mkdir(open);
    await chmod(open, 0o777);
    await assert.rejects(fileKeyProvider(join(open, "master.key")), /writable by others; run chmod go-w/);
  });

  it("unwraps nothing of another context, another key, or with a bit changed", async () => {
    const keys = await fileKeyProvider(join(dir, "a.key"));
    const foreign = await fileKeyProvider(join(dir, "b.key"));
    const wrapped = await keys.wrap("tenant-root/1", Buffer.from("secret"));
    assert.ok(!Buffer.from(wrapped).includes("secret"));
    await assert.rejects(keys.unwrap("tenant-root/2", wrapped), /for the context tenant-root\/2/);
    await assert.rejects(foreign.unwrap("tenant-root/1", wrapped));
    for (let index = 0; index < wrapped.length; index++) {
      const changed = Uint8Array.from(wrapped, (byte, at) => (at === index ? byte ^ 1 : byte));
      await assert.rejects(keys.unwrap("tenant-root/1", changed));
    }
    await assert.rejects(keys.unwrap("tenant-root/1", wrapped.subarray(0, 20)));
  });
});
