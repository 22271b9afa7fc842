import assert from "node:assert/strict";
import { withStores } from "@cloudvlan/kit/testing";
import { systemClock } from "@cloudvlan/kit/clock";
import { newSigningSeed, signingKeyFromSeed } from "@cloudvlan/kit/sign";
import { newId } from "@cloudvlan/kit/ids";
import { sql } from "drizzle-orm";
import { fileURLToPath } from "node:url";
import { config } from "../config.ts";
import { FIRST_SETTINGS } from "../domain/head-settings.ts";
import { heads } from "../live/heads.ts";
import { Ring } from "../live/ring.ts";
import { type LoggedRevision, logStart, readMap } from "../store.ts";

const revision = (number: bigint, bytes: number): LoggedRevision => ({
  revision: number,
  changes: [{ objectId: "x", kind: 1, before: new Uint8Array(bytes / 2), after: new Uint8Array(bytes / 2) }],
});
const change = { objectId: "x", before: undefined, after: undefined };

describe("the log of a map", () => {
  it("is kept in memory by number, and by size when its revisions are large", () => {
    const ring = new Ring(100, 1_000);
    for (let number = 1n; number <= 90n; number++) ring.push(revision(number, 10), () => [change]);
    assert.equal(ring.since(0n)?.length, 90);
    for (let number = 91n; number <= 100n; number++) ring.push(revision(number, 200), () => [change]);
    assert.equal(ring.since(0n), undefined);
    assert.equal(ring.since(98n)?.length, 2);
    ring.push(revision(101n, 5_000), () => [change]);
    assert.equal(ring.since(100n), undefined);
    ring.push(revision(102n, 10), () => [change]);
    assert.equal(ring.since(101n)?.length, 1);
  });

  withStores((under) => {
    it("is kept in the table by number, and by size when its revisions are large", async () => {
      await under.store.migrate("netmap", fileURLToPath(new URL("../migrations", import.meta.url)));
      const scope = { tenantId: newId("tenant", 0), cvlanId: newId("cvlan", 0) };
      await under.store.database("netmap").tenant(scope.tenantId, async (tx) => {
        const map = { ...(await readMap(tx, scope)), revision: 9n };
        for (const [number, size] of [10, 10, 20_000_000, 10, 15_000_000, 10, 10, 10, 10].entries()) {
          const bytes = sql`decode(repeat('00', ${size}::int), 'hex')`;
          await tx.execute(
            sql`insert into log values (${scope.tenantId}, ${scope.cvlanId}, ${number + 1}, 0, 1, 'x', 1, ${bytes}, '', '')`,
          );
        }
        assert.equal(await logStart(tx, map, 100), 3n);
        assert.equal(await logStart(tx, map, 5), 4n);
      });
    });
  });
});

describe("the head of a map", () => {
  it("goes on being made when the clock was set back", () => {
    let [now, monotonic] = [systemClock.nowMs(), 0];
    const key = signingKeyFromSeed("key", newSigningSeed());
    const scope = { tenantId: newId("tenant", 0), cvlanId: newId("cvlan", 0) };
    const settings = config.parse({ head_seconds: 1 });
    const head = heads(settings, { nowMs: () => now, monotonicMs: () => monotonic, bootMs: () => monotonic }, scope);
    const first = head(key, 1n, 1n, 1n, FIRST_SETTINGS);
    assert.equal(head(key, 1n, 1n, 1n, FIRST_SETTINGS), first);
    now -= 3_600_000;
    monotonic += 1_000;
    assert.notEqual(head(key, 1n, 1n, 1n, FIRST_SETTINGS), first);
  });
});
