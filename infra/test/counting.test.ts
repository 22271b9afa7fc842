import assert from "node:assert/strict";
import { mkdtemp, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { outcomeOfCargo } from "../setup/cargo.ts";
import { runSuites } from "../setup/mocha.ts";

const clone = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

/** Runs one file as the only suite of a clone. */
async function outcomeOfFile(source: string) {
  const root = await mkdtemp(join(tmpdir(), "cloudvlan-counting-"));
  try {
    await symlink(join(clone, "node_modules"), join(root, "node_modules"));
    await mkdir(join(root, "kit"));
    await writeFile(join(root, "package.json"), '{"type":"module"}');
    await writeFile(join(root, "kit", "some.test.ts"), source);
    return await runSuites(root, "kit");
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

describe("counting of suites", () => {
  it("counts what passes, fails and is skipped with a reason", async () => {
    const outcome = await outcomeOfFile(`
      it("holds", () => {});
      it("breaks", () => { throw new Error("the reason"); });
      it.skip("speaks IPsec (needs charon)", () => {});`);
    assert.equal(outcome.passed, 1);
    assert.equal(outcome.failed, 1);
    assert.deepEqual(outcome.skipped, ["speaks IPsec (needs charon)"]);
    assert.match(outcome.words, /breaks[\s\S]*the reason/);
  });

  it("takes a skip without a reason for a failure", async () => {
    const outcome = await outcomeOfFile(`it("holds", () => {}); it.skip("is unfinished", () => {});`);
    assert.equal(outcome.failed, 1);
    assert.match(outcome.words, /is unfinished/);
  });

  it("takes a file that does not load for a failure", async () => {
    const outcome = await outcomeOfFile(`import "./missing.ts";`);
    assert.equal(outcome.failed, 1);
    assert.match(outcome.words, /missing\.ts/);
  });

  it("takes a process that dies after its tests for a failure", async () => {
    const outcome = await outcomeOfFile(
      `it("holds", () => {}); after(() => { process.kill(process.pid, "SIGKILL"); });`,
    );
    assert.equal(outcome.failed, 1);
  });
});

describe("counting of cargo test", () => {
  const output = [
    "test a::holds ... ok",
    "test a::speaks ... ignored, needs CAP_NET_ADMIN",
    "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
    "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
  ].join("\n");

  it("adds up the programs", () => {
    const outcome = outcomeOfCargo(output, 0);
    assert.deepEqual(outcome, { passed: 5, failed: 0, skipped: ["a::speaks: needs CAP_NET_ADMIN"], words: "" });
  });

  it("takes an ignored test without a reason for a failure", () => {
    assert.equal(outcomeOfCargo(output.replace(", needs CAP_NET_ADMIN", ""), 0).failed, 1);
  });

  it("counts no function that is ignored because a test runs it as a program", () => {
    const program = output.replace("needs CAP_NET_ADMIN", "a program that a test above runs in a namespace");
    assert.deepEqual(outcomeOfCargo(program, 0), { passed: 5, failed: 0, skipped: [], words: "" });
  });

  it("takes a build that fails for a failure", () => {
    assert.equal(outcomeOfCargo("error: could not compile", 101).failed, 1);
  });
});
