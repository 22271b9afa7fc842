import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFile, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { asOrdinaryUser, must, run, type RunOptions, start } from "../lab/index.ts";

const clone = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
const program = [process.execPath, join(clone, "infra/start/main.ts")];
const root = process.getuid?.() === 0;

interface Report {
  readonly ok: boolean;
  readonly mode?: string;
  readonly first_ping_ms?: number;
  readonly stages?: Readonly<Record<string, number>>;
  readonly warnings?: readonly string[];
  readonly stage?: string;
  readonly error?: string;
}

/** Runs a start to its end and reads the last line of its output. */
async function report(
  argv: readonly string[],
  options: RunOptions = {},
): Promise<{ code: number | undefined; last: Report }> {
  const { code, stdout, stderr } = await run(argv, options);
  const lines = stdout.trimEnd().split("\n");
  assert.equal(lines.length, 1, `standard output holds one line: ${stdout}\n${stderr}`);
  return { code, last: JSON.parse(lines[0] ?? "") as Report };
}

function isProven({ code, last }: { code: number | undefined; last: Report }): void {
  assert.deepEqual({ code, ok: last.ok, error: last.error }, { code: 0, ok: true, error: undefined });
  assert.ok(last.first_ping_ms !== undefined && last.first_ping_ms > 0);
  assert.deepEqual(last.warnings, []);
  for (const stage of ["ca", "db", "services", "join_a", "join_b", "handshake", "ping"]) {
    assert.equal(typeof last.stages?.[stage], "number", stage);
  }
}

async function wires(): Promise<string[]> {
  const links = JSON.parse(await must(["ip", "-json", "link", "show"])) as { ifname: string }[];
  return links.map(({ ifname }) => ifname).filter((name) => name.startsWith("cvdemo"));
}

/** Ids of the processes that inherited the mark of a test run. */
async function marked(run: number): Promise<number[]> {
  const found: number[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
    if (environment.includes(`CLOUDVLAN_TEST_RUN=${run}\0`)) found.push(Number(pid));
  }
  return found;
}

describe("npm start", function () {
  this.timeout(180_000);

  it("proves a ping over an encrypted overlay and leaves nothing behind", async () => {
    const before = await wires();
    isProven(await report([...program, "--once", "--json"]));
    assert.deepEqual(
      (await wires()).filter((wire) => !before.includes(wire)),
      [],
    );
  });

  if (root) {
    let template = "";
    // The set-up made it for root alone; the user's own set-up would make one for the user.
    before(async () => {
      const made = process.env["CLOUDVLAN_PGLITE_TEMPLATE"];
      assert.ok(made, "CLOUDVLAN_PGLITE_TEMPLATE is not set: the set-up makes the template and sets it");
      template = await mkdtemp(join(tmpdir(), "cloudvlan-template-"));
      await must(["cp", "-r", "--", `${made}/.`, template]);
      await must(["chmod", "-R", "a+rX", template]);
    });
    after(async () => {
      if (template !== "") await rm(template, { recursive: true, force: true });
    });
    for (const [tun, mode] of [
      ["open", "tun"],
      ["closed", "userspace"],
    ] as const) {
      it(`proves it for an ordinary user too, with /dev/net/tun ${tun}`, async () => {
        const engine = process.env["CLOUDVLAN_ENGINE"] ?? "";
        const stepCa = process.env["CLOUDVLAN_STEP_CA"] ?? "";
        const bundles = process.env["CLOUDVLAN_BUNDLES"] ?? "";
        const visible = [clone, dirname(engine), dirname(stepCa), bundles, template];
        const argv = await asOrdinaryUser([...program, "--once", "--json"], visible, tun);
        const env: NodeJS.ProcessEnv = { ...process.env, CLOUDVLAN_PGLITE_TEMPLATE: template };
        delete env["NODE_COMPILE_CACHE"];
        const result = await report(argv, { env });
        isProven(result);
        assert.equal(result.last.mode, mode);
        assert.equal("traffic" in (result.last.stages ?? {}), mode === "userspace");
      });
    }
  }

  it("fails with an engine that does not forward", async () => {
    const folder = await mkdtemp(join(tmpdir(), "cloudvlan-noforward-"));
    try {
      const engine = join(clone, "engine");
      const argv = [
        "cargo",
        "build",
        "--locked",
        "--quiet",
        "--package",
        "cvlan-engine",
        "--features",
        "test-no-forward",
      ];
      await must([...argv, "--message-format", "short"], { cwd: engine });
      const metadata = JSON.parse(
        await must(["cargo", "metadata", "--no-deps", "--format-version", "1"], { cwd: engine }),
      );
      const broken = join(folder, "cvlan-engine");
      await copyFile(
        join((metadata as { target_directory: string }).target_directory, "debug", "cvlan-engine"),
        broken,
      );
      const { code, last } = await report([...program, "--once", "--json"], {
        env: { ...process.env, CLOUDVLAN_ENGINE: broken },
      });
      assert.deepEqual({ code, ok: last.ok, stage: last.stage }, { code: 1, ok: false, stage: "ping" });
      assert.match(last.error ?? "", /hostb/);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it("names the program that cannot start", async () => {
    const env = { ...process.env, CLOUDVLAN_STEP_CA: "/nonexistent/step-ca" };
    const { code, last } = await report([...program, "--once", "--json"], { env });
    assert.deepEqual({ code, ok: last.ok, stage: last.stage }, { code: 1, ok: false, stage: "ca" });
    assert.match(last.error ?? "", /step-ca/);
  });

  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    it(`leaves no process behind after ${signal} in the middle`, async () => {
      const env = { ...process.env, CLOUDVLAN_TEST_RUN: String(process.pid) };
      const child = await start([...program, "--once"], { env, stdio: ["ignore", "ignore", "pipe"] });
      assert.ok(child.stderr && child.pid !== undefined);
      for await (const line of createInterface({ input: child.stderr })) {
        if (line.includes("services")) break;
      }
      assert.ok((await marked(process.pid)).length > 4, "control plane, CA, agents and engines run");
      const ended = once(child, "exit");
      child.kill(signal);
      await ended;
      while ((await marked(process.pid)).length > 0) await delay(50);
    });
  }

  it("refuses an option it does not know", async () => {
    const { code, stderr } = await run([...program, "--onec"]);
    assert.equal(code, 64);
    assert.match(stderr, /--onec[\s\S]*usage/);
  });
});
