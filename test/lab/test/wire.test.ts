import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { WireCounts } from "../index.ts";
import { hasNft, runScenario, USERS } from "./enclosed.ts";

interface Stream {
  readonly arrived: readonly number[];
  readonly counts: WireCounts;
}

interface Seen {
  readonly streams: Readonly<Record<"one" | "same" | "other" | "shaky", Stream>>;
  readonly times: Readonly<Record<string, readonly number[]>>;
}

const COUNT = 200;
const ascending = (numbers: readonly number[]): boolean =>
  numbers.every((one, at) => at === 0 || one >= (numbers[at - 1] ?? 0));

for (const user of USERS) {
  describe(`impaired wire, as ${user} (needs nft)`, function () {
    this.timeout(180_000);
    let seen: Seen;
    before(async function () {
      if (!(await hasNft())) this.skip();
      seen = await runScenario<Seen>(user, fileURLToPath(new URL("wire-scenario.ts", import.meta.url)));
    });

    it("loses and doubles as many as it should, and keeps the order without jitter", () => {
      for (const host of ["one", "other"] as const) {
        const { arrived } = seen.streams[host];
        const different = new Set(arrived).size;
        assert.ok(COUNT - different > 15 && COUNT - different < 75, `${COUNT - different} of ${COUNT} lost`);
        const doubled = arrived.length - different;
        assert.ok(doubled > 3 && doubled < 40, `${doubled} came twice`);
        assert.ok(ascending(arrived));
      }
    });

    it("does the same for the same seed, and otherwise for another", () => {
      const { one, same, other } = seen.streams;
      assert.deepEqual(same.arrived, one.arrived);
      assert.notDeepEqual(other.arrived, one.arrived);
    });

    it("changes the order by jitter and loses nothing", () => {
      const { arrived } = seen.streams.shaky;
      assert.ok(!ascending(arrived));
      assert.deepEqual(
        arrived.toSorted((a, b) => a - b),
        Array.from({ length: COUNT }, (_, number) => number),
      );
    });

    it("counts every packet once", () => {
      for (const { arrived, counts } of Object.values(seen.streams)) {
        const { read, lost, doubled, overflowed, delivered, refused, under_way: underWay } = counts;
        assert.equal(read + doubled, lost + overflowed + delivered + refused + underWay);
        assert.ok(delivered >= arrived.length && lost >= COUNT - new Set(arrived).size);
      }
    });

    it("delays each way, in both families: before a router, behind it and before the lab's own process", () => {
      for (const family of ["ipv4", "ipv6"]) {
        for (const [node, least] of Object.entries({ inside: 50, deep: 70, control: 20 })) {
          const best = Math.min(...(seen.times[`${node} ${family}`] ?? []));
          assert.ok(best >= least && best < 5 * least, `${node} by ${family}: ${best} ms there and back`);
        }
      }
    });
  });
}
