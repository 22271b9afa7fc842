import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CheckVerdict } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { checkDisk, checkState, checkTun } from "../../diagnose/index.ts";

describe("a look at the host", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "cvlan-diagnose-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("finds a state folder in order, and what is open to others in it", async () => {
    await writeFile(join(folder, "tls.key"), "x", { mode: 0o600 });
    assert.equal((await checkState(folder)).verdict, CheckVerdict.OK);
    await chmod(join(folder, "tls.key"), 0o644);
    const file = await checkState(folder);
    assert.equal(file.verdict, CheckVerdict.FAIL);
    assert.equal(file.remedy, `chmod 600 ${join(folder, "tls.key")}`);
    await chmod(folder, 0o755);
    assert.equal((await checkState(folder)).remedy, `chmod 700 ${folder}`);
  });

  it("tells a state folder that is not there, or none", async () => {
    assert.match((await checkState(join(folder, "none"))).found, /there is no /);
    await writeFile(join(folder, "file"), "");
    assert.match((await checkState(join(folder, "file"))).found, /is not a folder/);
  });

  it("says how much room there is", async () => {
    assert.match((await checkDisk(folder)).found, /^\d+ MiB free under /);
    assert.equal((await checkDisk(join(folder, "none"))).verdict, CheckVerdict.SKIPPED);
  });

  it("tells a TUN device that is missing, and one that is none", async () => {
    const missing = await checkTun(join(folder, "tun"));
    assert.equal(missing.verdict, CheckVerdict.FAIL);
    assert.match(missing.remedy, /modprobe tun/);
    await mkdir(join(folder, "tun"));
    assert.match((await checkTun(join(folder, "tun"))).found, /cannot be opened \(EISDIR\)/);
  });
});
