import assert from "node:assert/strict";
import { natNetwork, PUBLIC } from "../nat-network.ts";
import { batchesOf } from "../topology.ts";

const rest = { servers: ["stun"], hosts: {} } as const;

describe("plan of a NAT lab", () => {
  it("numbers machines on the segments they are on", () => {
    const network = natNetwork({
      servers: ["stun", "control"],
      current: "control",
      nats: {
        carrier: { kind: "symmetric", families: ["ipv4", "ipv6"] },
        home: { kind: "full-cone", behind: "carrier", families: ["ipv4", "ipv6"] },
      },
      hosts: { a: "home", open: PUBLIC },
    });
    assert.deepEqual(network.addresses("stun", PUBLIC), { ipv4: "203.0.113.10", ipv6: "2001:db8::10" });
    assert.deepEqual(network.addresses("home", "carrier"), { ipv4: "100.127.100.101", ipv6: "2001:db8:100::101" });
    assert.deepEqual(network.addresses("a", "home"), { ipv4: "192.168.101.200", ipv6: "2001:db8:101::200" });
    assert.deepEqual(network.addresses("open", PUBLIC), { ipv4: "203.0.113.201", ipv6: "2001:db8::201" });
    const { inside } = batchesOf(network.topology, (node) => (node === "control" ? undefined : node));
    const routes = (node: string) => inside.get(node)?.filter((line) => line.startsWith("route"));
    assert.deepEqual(routes("a"), [
      "route add default via 192.168.101.1 dev eth0",
      "route add default via 2001:db8:101::1 dev eth0",
    ]);
    assert.deepEqual(routes("carrier"), [
      "route add 2001:db8:101::/64 via 2001:db8:100::101 dev lan",
      "route add default via 203.0.113.1 dev wan",
      "route add default via 2001:db8::1 dev wan",
    ]);
    assert.deepEqual(routes("control"), ["route add 2001:db8::/32 via 2001:db8::1 dev cvpublic"]);
  });

  it("leads neighbours to an impaired wire through the router of the segment", () => {
    const { topology } = natNetwork({
      servers: ["stun"],
      nats: { home: { kind: "full-cone" } },
      hosts: { open: PUBLIC },
      wires: { open: { loss: 0.1 } },
    });
    const { inside } = batchesOf(topology, (node) => node);
    const impaired = ["203.0.113.200/32", "2001:db8::200/128"];
    assert.deepEqual(
      inside.get(PUBLIC)?.filter((line) => line.startsWith("route")),
      impaired.map((to) => `route add ${to} dev to-open`),
    );
    assert.ok(inside.get("stun")?.includes("route add 2001:db8::200/128 via 2001:db8::1 dev eth0"));
    // Each in the families that it has.
    assert.deepEqual(
      inside.get("home")?.filter((line) => line.startsWith("route")),
      ["route add 203.0.113.200/32 via 203.0.113.1 dev wan", "route add default via 203.0.113.1 dev wan"],
    );
  });

  it("refuses what cannot be", () => {
    const kind = "full-cone";
    const refused: readonly (readonly [RegExp, () => unknown])[] = [
      [/behind ghost, which is no router/, () => natNetwork({ ...rest, nats: { a: { kind, behind: "ghost" } } })],
      [/a is behind itself/, () => natNetwork({ ...rest, nats: { a: { kind, behind: "a" } } })],
      [
        /a cannot have ipv6: b has none/,
        () => natNetwork({ ...rest, nats: { a: { kind, behind: "b", families: ["ipv6"] }, b: { kind } } }),
      ],
      [/stun cannot be a name/, () => natNetwork({ ...rest, nats: { stun: { kind } } })],
      [/a-very-long-name cannot be a name/, () => natNetwork({ ...rest, nats: { "a-very-long-name": { kind } } })],
      [
        /at most 80 of a sort/,
        () => natNetwork({ ...rest, servers: Array.from({ length: 81 }, (_, n) => `s${n}`), nats: {} }),
      ],
    ];
    for (const [words, plan] of refused) assert.throws(plan, words);
  });
});
