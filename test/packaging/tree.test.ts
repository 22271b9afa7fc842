import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installTree } from "@cloudvlan/infra/packaging/tree";
import { made, outputOf, root } from "./run.ts";

const UNITS = "usr/lib/systemd/system";
/** Exposure that systemd-analyze may find at most, times ten. */
const EXPOSURE: Readonly<Record<string, number>> = {
  "cloudvlan-control-plane.service": 15,
  "cloudvlan-step-ca.service": 15,
  "cloudvlan-agent.service": 30,
};

describe("what is installed", function () {
  this.timeout(120_000);
  let tree: string;
  before(async () => {
    tree = await mkdtemp(join(tmpdir(), "cvlan-tree-"));
    await installTree(
      {
        root,
        node: process.execPath,
        bundles: made("CLOUDVLAN_BUNDLES"),
        engine: made("CLOUDVLAN_ENGINE"),
        stepCa: made("CLOUDVLAN_STEP_CA"),
      },
      tree,
    );
  });
  after(() => rm(tree, { recursive: true, force: true }));

  const program = (path: string, ...args: string[]) =>
    outputOf([join(tree, "usr/lib/cloudvlan/bin/node"), join(tree, "usr/lib/cloudvlan", path), ...args]);

  it("every command on the path leads to a program that runs", async () => {
    for (const command of ["usr/bin/cvlan", "usr/sbin/cvlan-agent", "usr/sbin/cloudvlan-init-ca"]) {
      const text = await readFile(join(tree, command), "utf8");
      const [, node = "", script = ""] = /^exec (\S+) (?:--\S+ )*(\S+) "\$@"$/m.exec(text) ?? [];
      assert.ok((await stat(join(tree, node))).mode & 0o100, `${command}: ${node}`);
      assert.ok((await stat(join(tree, script))).isFile(), `${command}: ${script}`);
    }
    assert.match(await program("cli/cvlan.mjs", "--version"), /^\d+\.\d+\.\d+\n$/);
    assert.match(await outputOf([join(tree, "usr/lib/cloudvlan/bin/cvlan-engine"), "--help"]), /cvlan-engine/);
  });
  it("a certificate authority is made by it", async () => {
    const folder = await mkdtemp(join(tmpdir(), "cvlan-ca-"));
    try {
      const args = ["--dir", join(folder, "ca"), "--name", "ca.example"];
      assert.match(await program("control-plane/init-ca.mjs", ...args), /^cluster_[0-9a-f-]{36}\n$/);
      assert.equal((await stat(join(folder, "ca/root.key"))).mode & 0o777, 0o600);
      await assert.rejects(program("control-plane/init-ca.mjs", "--dir", join(folder, "ca")), /--name/);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
  it("systemd has nothing against the units, and finds little exposed", async () => {
    for (const [unit, exposure] of Object.entries(EXPOSURE)) {
      const file = join(tree, UNITS, unit);
      const here = join(tree, unit);
      await writeFile(here, (await readFile(file, "utf8")).replaceAll("=/usr/", `=${tree}/usr/`));
      assert.equal((await outputOf(["sh", "-c", 'exec systemd-analyze verify --man=no "$0" 2>&1', here])).trim(), "");
      await outputOf(["systemd-analyze", "security", "--offline=true", `--threshold=${exposure}`, "--no-pager", file]);
      const [, ...settings] = /^\[Service\]\n([^]*?)^\[Install\]/m.exec(await readFile(file, "utf8")) ?? [];
      assert.match(settings.join(""), /^NoNewPrivileges=yes$/m);
    }
  });
});
