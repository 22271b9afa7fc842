import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { asOrdinaryUser, enclosed, run } from "../index.ts";

const scenario = [process.execPath, fileURLToPath(new URL("scenario.ts", import.meta.url))];

async function prove(argv: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await run(argv);
  assert.equal(code, 0, stderr);
  const seen = JSON.parse(stdout) as Record<string, unknown>;
  assert.equal(seen["reached"], "reached", "a host reaches the lab's own process through the router");
  assert.equal(seen["tun"], 0, "a TUN device can be made");
  assert.notEqual(seen["gone"], 0, "and taken away");
  assert.ok(Number(seen["ports"]) > 0, "the router's wire shows the connection");
  assert.equal(seen["signal"], "SIGKILL", "closing ends the processes of the hosts");
  assert.deepEqual(seen["swept"], ["cv4194305-left"]);
  assert.equal(seen["namespaces"], "");
}

const root = process.getuid?.() === 0;

describe("lab", () => {
  it("stands, carries packets and leaves nothing behind, as whoever runs this", () =>
    prove(enclosed(scenario, { root, net: true })));

  // Without root the test above already is this one.
  if (root) {
    it("does the same for an ordinary user", () => prove(asOrdinaryUser(enclosed(scenario, { root: false, net: true }))));
  }

  it("ends everything in an enclosure when its owner is killed", async () => {
    const sleeper = `sleep ${600 + Math.floor(process.pid % 100)}.${process.pid}`;
    const [program, ...args] = enclosed(["sh", "-c", `setsid ${sleeper} & echo up; wait`], { root, net: true });
    assert.ok(program);
    const owner = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
    await once(owner.stdout, "data");
    const before = await run(["pgrep", "-f", "-x", sleeper]);
    assert.equal(before.code, 0, "it runs");
    owner.kill("SIGKILL");
    await once(owner, "close");
    const after = await run(["pgrep", "-f", "-x", sleeper]);
    assert.equal(after.code, 1, "it is gone");
  });
});
