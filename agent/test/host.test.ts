import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import type { NetworkInterfaceInfo } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import fc from "fast-check";
import { create } from "@bufbuild/protobuf";
import { PrefixSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { parseAddress } from "@cloudvlan/kit/net";
import { localEndpoints, MAX_ENDPOINTS } from "../endpoints/local.ts";
import { type InterfaceState, planHost } from "../host/plan.ts";
import type { TextPrefix } from "../host/prefix.ts";

const v4 = (text: string): TextPrefix => ({ family: 4, text });
const v6 = (text: string): TextPrefix => ({ family: 6, text });
const prefix = (address: string, length: number) =>
  create(PrefixSchema, { address: parseAddress(address) ?? new Uint8Array(), length });

describe("the plan for the host", () => {
  const empty: InterfaceState = { mtu: 1_500, up: false, addresses: [], routes: [] };
  const full: InterfaceState = {
    mtu: 1_420,
    up: true,
    addresses: [v4("100.64.0.1/32"), v6("fd00::1/128")],
    routes: [v4("100.64.0.2/32"), v6("fd00::2/128")],
  };

  it("sets up an interface that is new, with IPv6 apart from IPv4", () => {
    assert.deepEqual(planHost("cvlan0", empty, full).batches, [
      {
        family: 4,
        lines: [
          "link set dev cvlan0 mtu 1420",
          "link set dev cvlan0 up",
          "address add 100.64.0.1/32 dev cvlan0",
          "route add 100.64.0.2/32 dev cvlan0 proto static metric 4200",
        ],
      },
      {
        family: 6,
        lines: [
          "address add fd00::1/128 dev cvlan0 nodad",
          "route add fd00::2/128 dev cvlan0 proto static metric 4200",
        ],
      },
    ]);
  });

  it("does nothing when everything is there", () => {
    assert.deepEqual(planHost("cvlan0", full, full).batches, []);
  });

  it("leads from any state to any other, touching only what differs", () => {
    const prefixes = fc.uniqueArray(
      fc.integer({ min: 1, max: 8 }).map((n) => v4(`10.0.0.${n}/32`)),
      {
        selector: ({ text }) => text,
      },
    );
    const states = fc.record({ mtu: fc.constant(1_420), up: fc.constant(true), addresses: prefixes, routes: prefixes });
    fc.assert(
      fc.property(states, states, (actual, wanted) => {
        const sets = {
          address: new Set(actual.addresses.map(({ text }) => text)),
          route: new Set(actual.routes.map(({ text }) => text)),
        };
        for (const line of planHost("x", actual, wanted).batches.flatMap(({ lines }) => lines)) {
          const [noun, verb, text] = line.split(" ");
          assert.ok((noun === "address" || noun === "route") && text !== undefined);
          assert.equal(sets[noun].has(text), verb === "del", line);
          if (verb === "del") sets[noun].delete(text);
          else sets[noun].add(text);
        }
        assert.deepEqual([...sets.address].sort(), wanted.addresses.map(({ text }) => text).sort());
        assert.deepEqual([...sets.route].sort(), wanted.routes.map(({ text }) => text).sort());
      }),
    );
  });
});

describe("the endpoints of a host", () => {
  const info = (address: string, internal = false): NetworkInterfaceInfo =>
    ({ address, internal, family: address.includes(":") ? "IPv6" : "IPv4" }) as NetworkInterfaceInfo;

  it("are its addresses, but none of the loopback, of a link, or of the overlay", () => {
    const interfaces = {
      lo: [info("127.0.0.1", true), info("::1", true)],
      eth0: [info("192.0.2.7"), info("2001:db8::7"), info("fe80::1"), info("169.254.3.4")],
      cvlan0: [info("100.64.0.1"), info("203.0.113.1")],
      cvlan1: [info("100.64.0.9")],
    };
    assert.deepEqual(localEndpoints(interfaces, "cvlan0", [prefix("100.64.0.9", 32)], 40_000), [
      { address: "192.0.2.7", port: 40_000 },
      { address: "2001:db8::7", port: 40_000 },
    ]);
  });

  it("are at most 16, of both families, and the same for the same host", () => {
    const many = (count: number, form: (n: number) => string) => Array.from({ length: count }, (_, n) => info(form(n)));
    const a = many(40, (n) => `192.0.2.${n + 1}`);
    const b = many(40, (n) => `2001:db8::${n + 1}`);
    const chosen = localEndpoints({ a, b }, "cvlan0", [], 1);
    assert.equal(chosen.length, MAX_ENDPOINTS);
    assert.equal(chosen.filter(({ address }) => address.includes(":")).length, 8);
    assert.deepEqual(localEndpoints({ b: b.toReversed(), a: a.toReversed() }, "cvlan0", [], 1), chosen);
    assert.equal(localEndpoints({ a }, "cvlan0", [], 1).length, MAX_ENDPOINTS);
  });
});

describe("the host itself", function () {
  this.timeout(60_000);
  const asRoot = process.getuid?.() === 0;
  const unshare = asRoot ? ["-n"] : ["-Urn"];
  before(function () {
    const probe = spawnSync("unshare", [...unshare, "ip", "link", "add", "v0", "type", "veth"], { encoding: "utf8" });
    if (probe.status !== 0) {
      console.log(`skipped: this machine gives no network namespace with veth (${probe.stderr.trim()})`);
      this.skip();
    }
  });

  it("is brought to what the engine says, and again after somebody else changed it", async () => {
    const child = spawn("unshare", [...unshare, process.execPath, join(import.meta.dirname, "host-program.ts")], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines: string[] = [];
    createInterface(child.stdout).on("line", (line) => lines.push(line));
    const [code] = (await once(child, "close")) as [number];
    assert.equal(code, 0);
    const steps = lines.map((line) => JSON.parse(line) as { step: string; commands: number; state: unknown });
    const byName = new Map(steps.map((each) => [each.step, each]));
    const first = {
      mtu: 1_420,
      up: true,
      addresses: [v4("100.64.0.1/32"), v6("fd00::1/128")],
      routes: [v4("10.9.0.0/16"), v4("100.64.0.2/32"), v6("fd00::2/128")],
    };
    assert.deepEqual(byName.get("first")?.state, first);
    assert.equal(byName.get("again")?.commands, 0);
    assert.deepEqual(byName.get("repaired")?.state, first);
    assert.deepEqual(byName.get("changed")?.state, {
      mtu: 1_300,
      up: true,
      addresses: [v4("100.64.0.1/32")],
      routes: [v4("100.64.0.3/32")],
    });
    assert.deepEqual(byName.get("foreign route")?.state, ["192.0.2.0/24"]);
    assert.equal(byName.get("absent")?.commands, 0);
    const lan = [{ dst: "192.168.7.0/24", dev: "lan0" }];
    assert.deepEqual(byName.get("own network beside the same one behind a peer")?.state, lan);
    assert.deepEqual(byName.get("own network afterwards")?.state, lan);
    const refused = byName.get("one route refused") as unknown as { error: string; state: InterfaceState };
    assert.match(refused.error, /File exists/);
    assert.deepEqual(refused.state.routes, [v4("100.64.0.3/32"), v4("198.51.100.0/24")]);
  });
});
