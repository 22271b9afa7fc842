import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
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

async function commandLines(): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""));
  return (await Promise.all(lines)).map((line) => line.replaceAll("\0", " ").trim());
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await delay(20);
}

const root = process.getuid?.() === 0;

describe("lab", () => {
  for (const as of root ? (["root"] as const) : (["mapped-root", "same-user"] as const)) {
    it(`stands, carries packets and leaves nothing behind, as ${as}`, () =>
      prove(enclosed(scenario, { as, net: true })));
  }

  // Without root the tests above already are these.
  for (const as of root ? (["mapped-root", "same-user"] as const) : []) {
    it(`does the same for an ordinary user, as ${as}`, async () => {
      const clone = fileURLToPath(new URL("../../..", import.meta.url)).replace(/\/$/, "");
      const program = process.env["CLOUDVLAN_LAB"];
      const visible = program === undefined ? [clone] : [clone, dirname(program)];
      await prove(await asOrdinaryUser(enclosed(scenario, { as, net: true }), visible));
    });
  }

  it("ends everything in an enclosure when its owner is killed", async () => {
    const marker = `${600 + process.pid}.5`;
    const [program, ...args] = enclosed(["sh", "-c", `setsid sleep ${marker} & echo up; wait`], {
      as: root ? "root" : "mapped-root",
      net: true,
    });
    assert.ok(program);
    const owner = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
    await once(owner.stdout, "data");
    await until(async () => (await commandLines()).includes(`sleep ${marker}`));
    owner.kill("SIGKILL");
    await until(async () => !(await commandLines()).includes(`sleep ${marker}`));
  });
});
