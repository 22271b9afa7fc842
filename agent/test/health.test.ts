import assert from "node:assert/strict";
import fc from "fast-check";
import { ControllerState, Health } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { judge, type Vitals } from "../api/health.ts";
import { brought, CONNECTING, type ControllerView, heard, lost, SILENCE_MS, toldAt } from "../controller/view.ts";
import { recentLines } from "../state/recent.ts";

type Step = { readonly kind: "heard" | "brought" | "lost"; readonly afterMs: number };

const steps = fc.array(
  fc.record({ kind: fc.constantFrom("heard", "brought", "lost"), afterMs: fc.nat(200_000) }) as fc.Arbitrary<Step>,
  { maxLength: 20 },
);

/** The view after some steps, and the boot clock then. */
function after(history: readonly Step[]): { view: ControllerView; nowMs: number } {
  let view = CONNECTING;
  let nowMs = 1_000;
  for (const { kind, afterMs } of history) {
    nowMs += afterMs;
    // A head comes with a word of the controller.
    if (kind === "brought") view = brought(heard(view, nowMs), nowMs);
    else view = kind === "heard" ? heard(view, nowMs) : lost(view, "it broke", nowMs);
  }
  return { view, nowMs };
}

describe("what is told of the controller", () => {
  it("is never connected after a silence, whatever happened before", () => {
    fc.assert(
      fc.property(steps, fc.nat(400_000), (history, laterMs) => {
        const { view, nowMs } = after(history);
        const told = toldAt(view, nowMs + laterMs);
        if (told.state !== ControllerState.CONNECTED) return;
        assert.ok(told.heardAt !== undefined && nowMs + laterMs - told.heardAt <= SILENCE_MS);
      }),
    );
  });

  it("is connected within the bound after a word, and says since when it is lost otherwise", () => {
    const view = heard(CONNECTING, 5_000);
    assert.equal(toldAt(view, 5_000 + SILENCE_MS).state, ControllerState.CONNECTED);
    const silent = toldAt(view, 5_001 + SILENCE_MS);
    assert.equal(silent.state, ControllerState.UNREACHABLE);
    assert.match(silent.error, /said nothing for 90 s/);
    assert.equal(silent.lostAt, 5_000 + SILENCE_MS);
    const twice = lost(lost(view, "first", 6_000), "second", 9_000);
    assert.equal(twice.lostAt, 6_000);
    assert.equal(brought(heard(twice, 10_000), 10_000).lostAt, undefined);
  });
});

describe("the health of a node", () => {
  const well: Vitals = {
    controller: brought(heard(CONNECTING, 1), 1),
    engineRuns: true,
    mapStale: false,
    certificateExpired: false,
    problems: [],
    activePeers: 1,
  };
  const gone = lost(well.controller, "it broke", 5);

  it("is the worst that holds", () => {
    const cases: [Partial<Vitals>, Health, RegExp][] = [
      [{}, Health.HEALTHY, /^$/],
      [{ activePeers: 0 }, Health.HEALTHY, /^$/],
      [{ problems: ["host"] }, Health.DEGRADED, /at fault: host$/],
      [{ engineRuns: false }, Health.DEGRADED, /at fault: engine$/],
      [{ mapStale: true, problems: ["map"] }, Health.DEGRADED, /at fault: map$/],
      [{ certificateExpired: true }, Health.DEGRADED, /at fault: certificate$/],
      [{ controller: gone }, Health.DEGRADED, /at fault: controller; .*it broke/],
      [{ controller: gone, activePeers: 0 }, Health.ISOLATED, /no peer answered for 3 minutes.*it broke/],
      [{ controller: lost(gone, "you are revoked", 6, true) }, Health.ISOLATED, /was revoked: you are revoked/],
      [{ controller: CONNECTING }, Health.RECOVERY, /connecting/],
      [{ controller: heard(gone, 9) }, Health.RECOVERY, /not up to date/],
      [{ controller: brought(heard(gone, 9), 9) }, Health.HEALTHY, /^$/],
      [{ controller: heard(gone, 9), problems: ["map"] }, Health.DEGRADED, /at fault: map$/],
    ];
    for (const [change, health, reason] of cases) {
      const judged = judge({ ...well, ...change });
      assert.equal(judged.health, health, JSON.stringify(change));
      assert.match(judged.reason, reason);
    }
  });

  it("always has a reason and a part unless it is healthy or recovers", () => {
    const vitals = fc.record({
      controller: fc.constantFrom(CONNECTING, well.controller, gone, heard(gone, 9)),
      engineRuns: fc.boolean(),
      mapStale: fc.boolean(),
      certificateExpired: fc.boolean(),
      problems: fc.subarray(["host", "map", "endpoints"]),
      activePeers: fc.nat(3),
    });
    fc.assert(
      fc.property(vitals, (each) => {
        const { health, reason, degraded } = judge(each);
        assert.equal(health === Health.HEALTHY, reason === "");
        if (health === Health.HEALTHY || health === Health.RECOVERY) assert.deepEqual(degraded, []);
        else assert.ok(degraded.length > 0);
        assert.equal(new Set(degraded).size, degraded.length);
      }),
    );
  });
});

describe("the newest lines of a log", () => {
  it("are kept in bounded memory, oldest first", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 40 })), (written) => {
        const recent = recentLines(5, 60);
        for (const line of written) recent.write(`${line}\n`);
        const kept = recent.lines();
        const all = written.map((line) => `${line}\n`.trimEnd());
        assert.deepEqual(kept, all.slice(all.length - kept.length));
        assert.ok(kept.length <= 5 && kept.join("").length <= 60);
        assert.ok(written.length === 0 || kept.length > 0);
      }),
    );
  });
});
