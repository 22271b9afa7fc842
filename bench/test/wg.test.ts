import assert from "node:assert/strict";
import fc from "fast-check";
import { implementations } from "../wg/implementations.ts";
import { highestRate } from "../wg/udp.ts";

const NEAR = 1.06;

describe("the search for the highest rate without loss", () => {
  it("ends at most a step below what is carried, wherever it begins", () =>
    fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 10_000, max: 1_000_000 }),
        fc.integer({ min: 4_000, max: 1_500_000 }),
        async (capacity, start) => {
          let probes = 0;
          const found = await highestRate(start, async (rate) => {
            probes += 1;
            return rate <= capacity ? 0 : (rate - capacity) / rate;
          });
          // A loss of 0.1 % is none.
          assert.ok(found <= capacity * 1.0011, `${found} of ${capacity}`);
          assert.ok(found * NEAR * 1.0011 >= capacity, `${found} of ${capacity}`);
          assert.ok(probes < 40, `${probes} probes`);
        },
      ),
    ));

  it("tries a rate once more before it is too high", async () => {
    let tries = 0;
    const found = await highestRate(20_000, async (rate) => (tries++ % 2 === 0 || rate > 100_000 ? 0.5 : 0));
    assert.ok(found * NEAR >= 100_000, `${found}`);
  });

  it("says 0 when every rate loses", async () => {
    assert.equal(await highestRate(20_000, async () => 0.5), 0);
  });
});

describe("the implementations that are compared", () => {
  it("are ours and what the set-up built; what it could not build is told with the reason", () => {
    const built = [
      { name: "wireguard-go", version: "1.2", program: "/wireguard-go" },
      { name: "gotatun", version: "3.4", skipped: "no compiler" },
    ];
    const { present, missing } = implementations({
      CLOUDVLAN_ENGINE: "/engine",
      CLOUDVLAN_RIVALS: JSON.stringify(built),
    });
    assert.deepEqual(
      present.map(({ name, version, argv }) => [name, version, argv("wg9")]),
      [
        ["ours", undefined, ["/engine", "wg", "-f", "wg9"]],
        ["wireguard-go", "1.2", ["/wireguard-go", "-f", "wg9"]],
      ],
    );
    assert.deepEqual(missing, [built[1]]);
  });

  it("are refused when the set-up did not run", () => {
    assert.throws(() => implementations({}), /npm run bench -- wg/);
  });
});
