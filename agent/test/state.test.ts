import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmod, chown, mkdir, readdir, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { EngineStatusSchema } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { formatAddress, parseAddress } from "@cloudvlan/kit/net";
import { resolveArrival, resolveDestination } from "../api/peers.ts";
import { cell, present } from "../state/cell.ts";
import { privateFolder, readPrivate, writeWhole } from "../state/files.ts";
import { CONTROLLER_BACKOFF, fullJitter, jittered } from "../time/backoff.ts";
import { temporaryFolder } from "./support.ts";

const refused = (promise: Promise<unknown>, reason: string) =>
  assert.rejects(promise, (error) => error instanceof Refusal && error.reason === reason);

describe("state files", () => {
  it("are replaced whole, for their owner alone", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "file");
    assert.equal(await readPrivate(path), undefined);
    await Promise.all(Array.from({ length: 8 }, (_, n) => writeWhole(path, String(n).repeat(10_000))));
    assert.match((await readPrivate(path)) ?? "", /^(\d)\1{9999}$/);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(folder.path), ["file"]);
  });

  it("are refused when others can read them, or when they are links or too long", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "file");
    await writeWhole(path, "secret");
    await chmod(path, 0o640);
    await refused(readPrivate(path), "STATE_FILE_OPEN_TO_OTHERS");
    await symlink(path, join(folder.path, "link"));
    await refused(readPrivate(join(folder.path, "link")), "STATE_FILE_OPEN_TO_OTHERS");
    await writeWhole(path, "x".repeat(300_000));
    await refused(readPrivate(path), "STATE_DAMAGED");
  });

  it("lie in a folder that only its owner can enter", async () => {
    await using folder = await temporaryFolder();
    const made = join(folder.path, "a", "b");
    await privateFolder(made);
    assert.equal((await stat(made)).mode & 0o777, 0o700);
    await privateFolder(made);
    const open = join(folder.path, "open");
    await mkdir(open, { mode: 0o750 });
    await refused(privateFolder(open), "STATE_OPEN_TO_OTHERS");
    if (process.getuid?.() === 0) {
      const foreign = join(folder.path, "foreign");
      await mkdir(foreign, { mode: 0o700 });
      await chown(foreign, 65_534, 65_534);
      await refused(privateFolder(foreign), "STATE_NOT_YOURS");
      const file = join(made, "file");
      await writeWhole(file, "planted");
      await chown(file, 65_534, 65_534);
      await refused(readPrivate(file), "STATE_NOT_YOURS");
    }
    await writeFile(join(folder.path, "plain"), "");
    await refused(privateFolder(join(folder.path, "plain")), "STATE_NOT_A_FOLDER");
  });

  it("keep their former content on a full disk", function () {
    const flags = process.getuid?.() === 0 ? ["-m"] : ["-Urm"];
    const program = join(import.meta.dirname, "full-disk-program.ts");
    const probe = spawnSync("unshare", [...flags, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], { encoding: "utf8" });
    if (probe.status !== 0) {
      console.log(`skipped: this machine gives no mount namespace (${probe.stderr.trim()})`);
      this.skip();
    }
    const run = spawnSync("unshare", [...flags, process.execPath, program], { encoding: "utf8" });
    assert.equal(run.status, 0, run.stderr);
    assert.deepEqual(JSON.parse(run.stdout), { reason: "STATE_NOT_WRITABLE", content: "before", files: ["file"] });
  }).timeout(60_000);
});

describe("a cell", () => {
  it("shows the value now and the latest after changes, until its signal aborts", async () => {
    const source = cell(1);
    const stop = new AbortController();
    const seen: number[] = [];
    for await (const value of source.values(stop.signal)) {
      seen.push(value);
      if (value === 1) {
        source.set(2);
        source.set(3);
      } else if (value === 3) {
        setImmediate(() => source.set(4));
      } else stop.abort();
    }
    assert.deepEqual(seen, [1, 3, 4]);
  });

  it("is waited for until it holds something, or the signal aborts", async () => {
    const source = cell<string | undefined>(undefined);
    const waiting = present(source, AbortSignal.timeout(10_000));
    source.set("there");
    assert.equal(await waiting, "there");
    await assert.rejects(present(cell<string | undefined>(undefined), AbortSignal.abort(new Error("stop"))), /stop/);
  });
});

describe("the backoff", () => {
  it("is anywhere between nothing and a ceiling that doubles up to its bound", () => {
    const ceilings = Array.from({ length: 12 }, (_, n) => fullJitter(n, CONTROLLER_BACKOFF, (limit) => limit - 1));
    assert.deepEqual(ceilings.slice(0, 4), [200, 400, 800, 1_600]);
    assert.equal(ceilings.at(-1), 30_000);
    assert.equal(
      fullJitter(1_000_000, CONTROLLER_BACKOFF, (limit) => limit - 1),
      30_000,
    );
    assert.equal(
      fullJitter(5, CONTROLLER_BACKOFF, () => 0),
      0,
    );
    assert.equal(new Set(Array.from({ length: 50 }, () => fullJitter(9, CONTROLLER_BACKOFF))).size > 10, true);
    assert.equal(
      jittered(1_000, 0.1, () => 0),
      900,
    );
    assert.equal(
      jittered(1_000, 0.1, (limit) => limit - 1),
      1_100,
    );
  });
});

describe("a destination", () => {
  const prefix = (address: string) => {
    const bytes = parseAddress(address) ?? new Uint8Array();
    return { address: bytes, length: bytes.length * 8 };
  };
  const status = create(EngineStatusSchema, {
    name: "web1",
    addresses: [prefix("100.64.0.1"), prefix("fd00::1")],
    peers: [
      { name: "db1", addresses: [prefix("100.64.0.2"), prefix("fd00::2")] },
      { name: "six", addresses: [prefix("fd00::6")] },
      { name: "bare", addresses: [] },
    ],
  });
  const of = (text: string) => {
    const { destination, source } = resolveDestination(status, text);
    return [Buffer.from(source).toString("hex"), Buffer.from(destination).toString("hex")];
  };

  it("is a peer's name, its own name, or any address, with a source of the same family", () => {
    assert.deepEqual(of("db1"), ["64400001", "64400002"]);
    assert.deepEqual(of("web1"), ["64400001", "64400001"]);
    assert.deepEqual(
      of("six").map((hex) => hex.slice(-2)),
      ["01", "06"],
    );
    assert.deepEqual(of("192.0.2.1"), ["64400001", "c0000201"]);
  });

  it("is where a peer's packet arrives, with a source of the same family", () => {
    const arrival = (from: string, to: string) => {
      const { source, destination } = resolveArrival(status, from, to);
      return [formatAddress(source), formatAddress(destination)];
    };
    assert.deepEqual(arrival("db1", "web1"), ["100.64.0.2", "100.64.0.1"]);
    assert.deepEqual(arrival("six", "web1"), ["fd00::6", "fd00::1"]);
    assert.deepEqual(arrival("192.0.2.9", "10.0.0.7"), ["192.0.2.9", "10.0.0.7"]);
    for (const [from, to, field] of [
      ["nobody", "web1", "source"],
      ["bare", "web1", "source"],
      ["db1", "db1", "destination"],
      ["db1", "fd00::9", undefined],
      ["six", "10.0.0.7", "destination"],
    ] as const) {
      if (field === undefined) assert.deepEqual(arrival(from, to), ["fd00::2", "fd00::9"]);
      else
        assert.throws(
          () => arrival(from, to),
          (error) => error instanceof Refusal && error.detail.field === field,
        );
    }
  });

  it("is refused by name when there is none", () => {
    for (const name of ["nobody", "DB1", "100.64.0", "bare"]) {
      assert.throws(
        () => of(name),
        (error) => error instanceof Refusal && error.reason === "DESTINATION_UNKNOWN",
      );
    }
  });
});
