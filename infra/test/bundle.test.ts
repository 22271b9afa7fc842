import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "@cloudvlan/test/lab";
import { bundle } from "../bundle/bundle.ts";
import { AGENT_FLAGS } from "../bundle/flags.ts";
import { licenceTexts } from "../bundle/licences.ts";

const clone = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
/** Exit codes for an option that is not known. */
const EX_USAGE = 64;
const CLI_USAGE = 2;

async function hashesOf(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const hashes: Record<string, string> = {};
  for (const file of files.toSorted((a, b) => a.localeCompare(b))) {
    hashes[relative(folder, file)] = createHash("sha256")
      .update(await readFile(file))
      .digest("hex");
  }
  return hashes;
}

describe("bundles", function () {
  this.timeout(60_000);
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "cloudvlan-bundle-"));
    await bundle(clone, join(folder, "one"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("are the same bytes each time", async () => {
    await bundle(clone, join(folder, "two"));
    assert.deepEqual(await hashesOf(join(folder, "two")), await hashesOf(join(folder, "one")));
  });

  it("hold every program, which runs without the packages", async () => {
    const programs = ["auth", "registry", "policy", "netmap", "control-plane", "issue-identity"].map(
      (name) => `control-plane/${name}.mjs`,
    );
    for (const program of ["agent/cvlan-agent.mjs", "cli/cvlan.mjs", ...programs]) {
      const usage = program.startsWith("cli/") ? CLI_USAGE : EX_USAGE;
      const argv = [process.execPath, join(folder, "one", program), "--no-such-option"];
      const { code, stderr } = await run(argv, { cwd: folder });
      assert.equal(code, usage, `${program}: ${stderr}`);
    }
  });

  it("hold of zod what is used: it is imported as a namespace, `{ z }` would bring its words in every language", async () => {
    for (const program of ["agent/cvlan-agent.mjs", "cli/cvlan.mjs"]) {
      assert.doesNotMatch(await readFile(join(folder, "one", program), "utf8"), /Ongeldig|Virheellinen/, program);
    }
  });

  it("run as the unit of the agent does, with the flags that are measured", async () => {
    const unit = await readFile(join(clone, "infra/systemd/cloudvlan-agent.service"), "utf8");
    assert.ok(unit.includes(`/node ${AGENT_FLAGS.join(" ")} /usr/lib/cloudvlan/agent/cvlan-agent.mjs`));
  });

  it("carry the licence of every package and none of the tests", async () => {
    const texts = await readFile(join(folder, "one", "THIRD-PARTY-LICENCES.txt"), "utf8");
    for (const name of ["zod", "@grpc/grpc-js", "@electric-sql/pglite", "pg"]) {
      assert.match(texts, new RegExp(`^${name} \\d+\\.\\d+\\.\\d+ \\(`, "m"));
    }
    assert.doesNotMatch(texts, /^(mocha|fast-check|esbuild|typescript) /m);
  });

  it("are refused when a package has a licence that may not be in there", async () => {
    const root = join(folder, "spoilt");
    await mkdir(join(root, "node_modules/bad"), { recursive: true });
    const manifest = { name: "bad", version: "1.0.0", license: "GPL-3.0-only" };
    await writeFile(join(root, "node_modules/bad/package.json"), JSON.stringify(manifest));
    await assert.rejects(
      licenceTexts(root, ["node_modules/bad/index.js"]),
      /bad 1\.0\.0 has the licence GPL-3\.0-only/,
    );
  });
});
