import assert from "node:assert/strict";
import { batchesOf } from "../topology.ts";

describe("topology", () => {
  it("makes namespaces and wires in one batch, addresses inside each node", () => {
    const { create, inside } = batchesOf(
      {
        nodes: [{ name: "here", current: true }, { name: "there" }],
        links: [
          {
            mtu: 1400,
            ends: [
              { node: "here", interface: "w0", address: "10.0.0.1/24" },
              { node: "there", interface: "w1", address: "10.0.0.2/24", routes: [{ to: "default", via: "10.0.0.1" }] },
            ],
          },
        ],
      },
      (node) => (node === "here" ? undefined : `ns-${node}`),
    );
    assert.deepEqual(create, ["netns add ns-there", "link add name w0 type veth peer name w1 netns ns-there"]);
    assert.deepEqual(inside.get("here"), ["addr add 10.0.0.1/24 dev w0", "link set w0 mtu 1400 up"]);
    assert.deepEqual(inside.get("there"), [
      "link set lo up",
      "addr add 10.0.0.2/24 dev w1",
      "link set w1 mtu 1400 up",
      "route add default via 10.0.0.1 dev w1",
    ]);
  });

  it("refuses a wire to a machine that is not there", () => {
    const end = { interface: "w", address: "10.0.0.1/24" };
    const links = [
      {
        ends: [
          { ...end, node: "a" },
          { ...end, node: "ghost" },
        ] as const,
      },
    ];
    assert.throws(() => batchesOf({ nodes: [{ name: "a" }], links }, (node) => node), /ghost/);
  });
});
