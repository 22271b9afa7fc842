import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beginMasterRotation, fileKeyProvider, sealOf } from "@cloudvlan/kit/keys";
import { newRekey } from "../../rekey/index.ts";

describe("a keyring", () => {
  let dir: string;
  let path: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "ring-"));
    path = join(dir, "master");
  });
  afterEach(() => rm(dir, { recursive: true }));

  const data = Buffer.from("data");

  it("opens under both keys while one replaces the other, and makes under the new one", async () => {
    const former = await fileKeyProvider(path);
    const wrapped = await former.wrap("c", data);
    const mac = former.mac("c", data);
    const rotation = await beginMasterRotation(path);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    for (const keys of [rotation.both, await fileKeyProvider(path)]) {
      assert.deepEqual(Buffer.from(await keys.unwrap("c", wrapped)), data);
      assert.ok(keys.verify("c", data, mac));
      assert.notDeepEqual(keys.mac("c", data), mac);
      assert.ok(rotation.newest.verify("c", data, keys.mac("c", data)));
      await rotation.newest.unwrap("c", await keys.wrap("c", data));
    }
    await assert.rejects(rotation.newest.unwrap("c", wrapped));
    assert.ok(!rotation.newest.verify("c", data, mac));
  });

  it("goes on with what was interrupted, and forgets the former key at the end", async () => {
    const former = await fileKeyProvider(path);
    const wrapped = await former.wrap("c", data);
    const master = (await readFile(path)).toString("base64url");
    await beginMasterRotation(path);
    const interrupted = await readFile(path, "utf8");
    const rotation = await beginMasterRotation(path);
    assert.equal(await readFile(path, "utf8"), interrupted);
    assert.ok(interrupted.includes(master));
    await rotation.finish();
    assert.ok(!(await readFile(path, "utf8")).includes(master));
    await assert.rejects((await fileKeyProvider(path)).unwrap("c", wrapped));
  });

  it("keeps selectors and the journal of denials through any number of keys", async () => {
    const first = await fileKeyProvider(path);
    for (let round = 0; round < 3; round++) await (await beginMasterRotation(path)).finish();
    const last = await fileKeyProvider(path);
    for (const context of ["registry/selector", "denial-journal"]) {
      assert.deepEqual(last.mac(context, data), first.mac(context, data));
      assert.ok(last.verify(context, data, first.mac(context, data)));
    }
    assert.notDeepEqual(last.mac("seal/x", data), first.mac("seal/x", data));
  });

  it("remakes what holds under the former key, leaves what is new, and counts what nobody made", async () => {
    const former = await fileKeyProvider(path);
    const rotation = await beginMasterRotation(path);
    const rekey = newRekey(rotation);
    const fields = { id: "1" };
    const made = rekey.seal("t", fields, sealOf(former, "t", fields));
    assert.deepEqual(made, sealOf(rotation.newest, "t", fields));
    assert.ok(made);
    assert.equal(rekey.seal("t", fields, made), undefined);
    const secret = await rekey.secret("c", await former.wrap("c", data));
    assert.ok(secret);
    assert.deepEqual(Buffer.from(await rotation.newest.unwrap("c", secret)), data);
    assert.equal(await rekey.secret("c", secret), undefined);
    assert.equal(rekey.broken, 0);
    assert.equal(rekey.seal("t", { id: "2" }, made), undefined);
    assert.equal(await rekey.secret("d", secret), undefined);
    assert.equal(rekey.broken, 2);
  });

  it("is refused when it is torn, has a foreign line, no key, or is too long", async () => {
    await fileKeyProvider(path);
    await beginMasterRotation(path);
    const whole = await readFile(path, "utf8");
    for (const text of [
      whole.slice(0, -1),
      whole.slice(0, whole.lastIndexOf("lasting")),
      whole.replaceAll(/^master .*\n/gm, ""),
      whole.replace("keyring 1", "keyring 2"),
      whole.replace("\nmaster ", "\nmister "),
      `${whole}\n`,
      whole + "x".repeat(5000),
    ]) {
      await writeFile(path, text);
      await assert.rejects(fileKeyProvider(path), /is no keyring; restore it/);
    }
  });
});
