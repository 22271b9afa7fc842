import assert from "node:assert/strict";
import type { NetworkInterfaceInfo } from "node:os";
import { create } from "@bufbuild/protobuf";
import { EngineStatusSchema } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { parsePrefix } from "@cloudvlan/kit/net";
import { dropsPort, dropsPortOfIptables } from "../doctor/firewall.ts";
import { addressesBeside, holdsPort } from "../doctor/network.ts";
import { nameserversIn } from "../doctor/resolver.ts";
import { clockProblem } from "../map/skew.ts";

const UDP_TABLE = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  396: 00000000:CA6C 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1111 2 0000000000000000 0
`;

/** As `nft -j list ruleset` prints it (libnftables-json(5)). */
const ruleset = (policy: string, ...rules: readonly object[]) => ({
  nftables: [
    { metainfo: { version: "1.0.6", json_schema_version: 1 } },
    { table: { family: "inet", name: "filter", handle: 1 } },
    {
      chain: {
        family: "inet",
        table: "filter",
        name: "input",
        handle: 1,
        type: "filter",
        hook: "input",
        prio: 0,
        policy,
      },
    },
    ...rules,
  ],
});
const accept = (right: unknown) => ({
  rule: {
    family: "inet",
    table: "filter",
    chain: "input",
    handle: 4,
    expr: [{ match: { op: "==", left: { payload: { protocol: "udp", field: "dport" } }, right } }, { accept: null }],
  },
});

describe("the doctor", () => {
  it("reads ports of the kernel's table", () => {
    assert.ok(holdsPort(UDP_TABLE, 51_820));
    assert.ok(!holdsPort(UDP_TABLE, 51_821));
    assert.ok(!holdsPort("", 51_820));
  });

  it("tells a firewall that drops by default and does not name the port", () => {
    assert.ok(dropsPort(ruleset("drop"), 51_820));
    assert.ok(dropsPort(ruleset("drop", accept(22)), 51_820));
    assert.ok(!dropsPort(ruleset("drop", accept(51_820)), 51_820));
    assert.ok(!dropsPort(ruleset("drop", accept({ set: [22, 51_820] })), 51_820));
    assert.ok(!dropsPort(ruleset("accept"), 51_820));
  });

  it("tells the same by rules of iptables", () => {
    const rules = (policy: string, ...more: readonly string[]) =>
      [`-P INPUT ${policy}`, "-P FORWARD DROP", "-P OUTPUT ACCEPT", ...more, ""].join("\n");
    assert.ok(dropsPortOfIptables(rules("DROP"), 51_820));
    assert.ok(dropsPortOfIptables(rules("DROP", "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"), 51_820));
    assert.ok(!dropsPortOfIptables(rules("DROP", "-A INPUT -p udp -m udp --dport 51820 -j ACCEPT"), 51_820));
    assert.ok(!dropsPortOfIptables(rules("DROP", "-A INPUT -p udp -m udp --dport 51000:52000 -j ACCEPT"), 51_820));
    assert.ok(
      !dropsPortOfIptables(rules("DROP", "-A INPUT -p udp -m multiport --dports 22,51000:52000 -j ACCEPT"), 51_820),
    );
    assert.ok(!dropsPortOfIptables(rules("ACCEPT"), 51_820));
  });

  it("finds addresses of the overlay on other interfaces", () => {
    const prefix = (text: string) => {
      const parsed = parsePrefix(text);
      assert.ok(parsed, text);
      return parsed;
    };
    const status = create(EngineStatusSchema, {
      interfaceName: "cvlan0",
      addresses: [prefix("100.64.0.1/32"), prefix("fd00:1::1/128")],
      routes: [prefix("100.64.0.0/10"), prefix("fd00:1::/64"), prefix("0.0.0.0/0")],
    });
    const info = (cidr: string, internal = false) => ({ cidr, internal }) as NetworkInterfaceInfo;
    const beside = addressesBeside(
      {
        lo: [info("127.0.0.1/8", true)],
        cvlan0: [info("100.64.0.1/32")],
        eth0: [info("192.0.2.7/24"), info("fd00:2::7/64")],
        other0: [info("100.101.102.103/32")],
      },
      status,
    );
    assert.deepEqual(beside, ["100.101.102.103/32 on other0"]);
  });

  it("reads the nameservers of resolv.conf", () => {
    const text = "# nameserver 192.0.2.9\nsearch example.org\nnameserver 127.0.0.53\nnameserver\t2001:db8::1\n";
    assert.deepEqual(nameserversIn(text), ["127.0.0.53", "2001:db8::1"]);
  });

  it("tells a clock that is hours off, with what to do, and none that is right", () => {
    const issued = Date.UTC(2026, 0, 1);
    assert.equal(clockProblem(issued, issued + 299_000), undefined);
    assert.equal(clockProblem(issued, issued - 299_000), undefined);
    const behind = clockProblem(issued, issued - 5 * 3_600_000);
    assert.match(behind?.message ?? "", /5 h behind the controller's/);
    assert.match(behind?.detail.remedy ?? "", /NTP/);
    assert.match(clockProblem(issued, issued + 600_000)?.message ?? "", /10 min ahead of/);
  });
});
