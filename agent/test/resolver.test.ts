import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { chmod, lstat, mkdir, readdir, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import fc from "fast-check";
import { create } from "@bufbuild/protobuf";
import { type EngineStatus, EngineStatusSchema, InterfaceKind } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { systemClock } from "@cloudvlan/kit/clock";
import { Refusal } from "@cloudvlan/kit/errors";
import { applyFile, formerResolver } from "../resolver/file.ts";
import { keepResolver, listenAddress, restoreHost } from "../resolver/index.ts";
import { composeResolvConf, markIn, parseResolvConf } from "../resolver/resolv-conf.ts";
import { linkCommands } from "../resolver/resolved.ts";
import { cell } from "../state/cell.ts";
import { problemBook } from "../state/problems.ts";
import { recordingLog, temporaryFolder, until } from "./support.ts";

const MARK = "# cvlan-agent node_1";
const ORIGINAL = "# by hand\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nsearch example.org\noptions edns0\n";
const NAMES = { server: "127.83.1.2", domain: "main.cvlan.internal" };
const NO_CHECK = (): void => undefined;

async function host() {
  const folder = await temporaryFolder();
  const [etc, state] = [join(folder.path, "etc"), join(folder.path, "state")];
  for (const path of [etc, state]) await mkdir(path, { mode: 0o700 });
  const path = join(etc, "resolv.conf");
  return { path, etc, state, file: { path, state, mark: MARK }, [Symbol.asyncDispose]: folder[Symbol.asyncDispose] };
}

describe("resolv.conf", () => {
  it("is read as the C library reads it", () => {
    const text =
      "nameserver 192.0.2.1\n nameserver\t2001:db8::1 # x\nnameserver not-one\ndomain a.b c\nsearch D.E f\noptions ndots:2 \n;x\n";
    assert.deepEqual(parseResolvConf(text), {
      nameservers: ["192.0.2.1", "2001:db8::1"],
      search: ["D.E", "f"],
      others: ["options ndots:2"],
    });
  });

  it("of ours names one server, searches the overlay first, and is known as ours whatever it replaces", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 400 }), (former) => {
        const text = composeResolvConf(MARK, "/state", parseResolvConf(former), NAMES);
        const read = parseResolvConf(text);
        assert.equal(markIn(text), MARK);
        assert.deepEqual(read.nameservers, [NAMES.server]);
        assert.equal(read.search[0], NAMES.domain);
        assert.equal(text, composeResolvConf(MARK, "/state", parseResolvConf(former), NAMES));
      }),
    );
  });

  it("gives each cvlan a loopback address of its own", () => {
    const addresses = new Set(Array.from({ length: 50 }, (_, n) => listenAddress(`cvlan_${n}`)));
    assert.equal(addresses.size, 50);
    for (const address of addresses) assert.match(address, /^127\.83\.\d+\.\d+$/);
  });
});

describe("the host's file of resolvers", function () {
  this.timeout(120_000);

  it("comes back exactly: content and mode of a file, target of a link, or nothing", async () => {
    await using at = await host();
    const bytes = Buffer.from([...Buffer.from(ORIGINAL), 0xff, 0xfe, 10]);
    await writeFile(at.path, bytes);
    await chmod(at.path, 0o640);
    await applyFile(at.file, NAMES, NO_CHECK);
    assert.match(
      await readFile(at.path, "utf8"),
      /nameserver 127\.83\.1\.2\nsearch main\.cvlan\.internal example\.org\noptions edns0\n/,
    );
    assert.deepEqual((await formerResolver(at.file)).nameservers, ["192.0.2.1"]);
    assert.ok(await restoreHost(at.state, at.path));
    assert.deepEqual(await readFile(at.path), bytes);
    assert.equal((await stat(at.path)).mode & 0o777, 0o640);
    assert.equal(await restoreHost(at.state, at.path), false);

    await rm(at.path);
    await writeFile(join(at.etc, "elsewhere"), ORIGINAL);
    await symlink("elsewhere", at.path);
    await applyFile(at.file, NAMES, NO_CHECK);
    assert.ok((await lstat(at.path)).isFile());
    await writeFile(join(at.etc, "elsewhere"), "nameserver 192.0.2.7\n");
    assert.deepEqual((await formerResolver(at.file)).nameservers, ["192.0.2.7"], "it is read where it leads");
    await restoreHost(at.state, at.path);
    assert.equal(await readlink(at.path), "elsewhere");

    await rm(at.path);
    await applyFile(at.file, NAMES, NO_CHECK);
    await restoreHost(at.state, at.path);
    assert.deepEqual(await readdir(at.etc), ["elsewhere"]);
  });

  it("is never put back over what another program wrote since", async () => {
    await using at = await host();
    await writeFile(at.path, ORIGINAL);
    await applyFile(at.file, NAMES, NO_CHECK);
    await writeFile(at.path, "nameserver 198.51.100.1\n");
    await restoreHost(at.state, at.path);
    assert.equal(await readFile(at.path, "utf8"), "nameserver 198.51.100.1\n");
    assert.deepEqual(await readdir(at.state), []);
  });

  it("is not taken from another membership, nor when what it was before is lost", async () => {
    await using at = await host();
    await writeFile(at.path, ORIGINAL);
    await applyFile(at.file, NAMES, NO_CHECK);
    const ours = await readFile(at.path, "utf8");
    const refusal = (error: unknown) => error instanceof Refusal && error.reason === "RESOLV_CONF_TAKEN";
    await assert.rejects(applyFile({ ...at.file, mark: "# cvlan-agent node_2" }, NAMES, NO_CHECK), refusal);
    await rm(join(at.state, "resolver.json"));
    await assert.rejects(applyFile(at.file, NAMES, NO_CHECK), refusal);
    assert.equal(await readFile(at.path, "utf8"), ours);
    await writeFile(join(at.state, "resolver.json"), '{"version":1', { mode: 0o600 });
    const damaged = (error: unknown) => error instanceof Refusal && error.reason === "RESOLVER_STATE_DAMAGED";
    await assert.rejects(restoreHost(at.state, at.path), damaged);
  });

  it("is whole and comes back whenever the program that sets it is killed", async () => {
    await using at = await host();
    const program = join(import.meta.dirname, "resolver-program.ts");
    for (let round = 0; round < 12; round += 1) {
      await writeFile(at.path, ORIGINAL);
      const child = spawn(process.execPath, [program, at.path, at.state], { stdio: ["ignore", "pipe", "inherit"] });
      const gone = once(child, "exit");
      await once(child.stdout, "data");
      await delay(randomInt(40));
      child.kill("SIGKILL");
      await gone;
      const left = await readFile(at.path, "utf8");
      assert.ok(left === ORIGINAL || (markIn(left) === MARK && left.endsWith("options edns0\n")), left);
      if (round % 2 === 0) await applyFile(at.file, NAMES, NO_CHECK);
      await restoreHost(at.state, at.path);
      assert.equal(await readFile(at.path, "utf8"), ORIGINAL);
      assert.ok(!(await readdir(at.state)).includes("resolver.json"));
      assert.deepEqual(await readdir(at.etc), ["resolv.conf"]);
    }
  });
});

describe("the keeper of the resolver", function () {
  this.timeout(120_000);
  const up = (change: object = {}): EngineStatus =>
    create(EngineStatusSchema, {
      instanceId: "i",
      interfaceName: "cvlan0",
      membership: { nodeId: "node_1" },
      dns: { listen: { address: NAMES.server, port: 53 }, domain: NAMES.domain },
      ...change,
    });

  async function kept(mode: "auto" | "off" = "auto") {
    const at = await host();
    await writeFile(at.path, ORIGINAL);
    const status = cell<EngineStatus | undefined>(undefined);
    const fallback = cell<readonly string[] | undefined>(undefined);
    const problems = problemBook();
    const stop = new AbortController();
    const { log } = recordingLog();
    const options = { mode, state: at.state, status, fallback, problems, log, clock: systemClock, path: at.path };
    let done = keepResolver(options, stop.signal);
    const now = () => readFile(at.path, "utf8");
    return {
      ...at,
      status,
      fallback,
      problems,
      now,
      isOurs: async () => markIn(await now()) === MARK,
      async end() {
        stop.abort();
        await done;
      },
      again(next: "auto" | "off", signal: AbortSignal) {
        done = keepResolver({ ...options, mode: next }, signal);
        return done;
      },
    };
  }

  it("sets it while names are answered, puts it back when the engine is gone, and leaves it when the agent ends", async () => {
    await using at = await kept();
    await until("the servers of the host are known", () => at.fallback.get()?.join() === "192.0.2.1");
    assert.equal(await at.now(), ORIGINAL);
    at.status.set(up());
    await until("it is ours", at.isOurs);
    at.status.set(undefined);
    await until("it is as before", async () => (await at.now()) === ORIGINAL);
    at.status.set(up());
    await until("it is ours again", at.isOurs);
    assert.deepEqual(at.fallback.get(), ["192.0.2.1"]);
    at.status.set(up({ dns: { listen: { address: NAMES.server, port: 53 }, domain: "other.internal" } }));
    await until("another domain is searched", async () => (await at.now()).includes("search other.internal "));
    await at.end();
    assert.ok(await at.isOurs());
    assert.deepEqual(at.problems.list(), []);
    const stop = new AbortController();
    const second = at.again("off", stop.signal);
    await until("switched off, it is as before", async () => (await at.now()) === ORIGINAL);
    stop.abort();
    await second;
  });

  it("tells why names are not answered and leaves the host as it is", async () => {
    await using at = await kept();
    at.status.set(up({ dns: { error: "127.83.1.2:53: taken; end the other program", domain: NAMES.domain } }));
    await until("the problem is told", () => at.problems.list().length > 0);
    const [problem] = at.problems.list();
    assert.deepEqual([problem?.part, problem?.remedy], ["resolver", "end the other program"]);
    at.status.set(up({ interfaceKind: InterfaceKind.USERSPACE }));
    await until("nothing is wrong", () => at.problems.list().length === 0);
    assert.equal(await at.now(), ORIGINAL);
    await at.end();
  });

  it("obeys another program that writes the file, and gives way when it does not stop", async () => {
    await using at = await kept();
    at.status.set(up());
    await until("it is ours", at.isOurs);
    for (let round = 1; round <= 5; round += 1) {
      await writeFile(at.path, `nameserver 198.51.100.${round}\n`);
      await until("its servers are asked", () => at.fallback.get()?.[0] === `198.51.100.${round}`);
      await until("it is ours again", at.isOurs);
    }
    assert.deepEqual(at.problems.list(), []);
    const last = "nameserver 198.51.100.99\n";
    await writeFile(at.path, last);
    await until("it is told", () => at.problems.list().some(({ part }) => part === "resolver"));
    assert.match(at.problems.list()[0]?.remedy ?? "", /resolver: off/);
    assert.equal(await at.now(), last);
    assert.deepEqual(await readdir(at.state), []);
    await at.end();
  });
});

describe("systemd-resolved", () => {
  it("is given one link with the overlay's domains, and nothing else of the host", () => {
    const names = { ...NAMES, interfaceName: "cvlan0", routingDomains: ["64.100.in-addr.arpa", "corp"] };
    assert.deepEqual(linkCommands(names), [
      ["dns", "cvlan0", "127.83.1.2"],
      ["default-route", "cvlan0", "no"],
      ["llmnr", "cvlan0", "no"],
      ["mdns", "cvlan0", "no"],
      ["dnssec", "cvlan0", "no"],
      ["dnsovertls", "cvlan0", "no"],
      ["domain", "cvlan0", "main.cvlan.internal", "~64.100.in-addr.arpa", "~corp"],
    ]);
  });
});
