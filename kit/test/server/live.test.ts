import assert from "node:assert/strict";
import { frameOf, liveStreams } from "../../server/index.ts";

describe("live streams", () => {
  it("end when their identity is denied, those of older credentials alone, and once", () => {
    const live = liveStreams();
    const cut: string[] = [];
    live.add(["node-a", "tenant"], 100, () => cut.push("a100"));
    live.add(["node-a", "tenant"], 200, () => cut.push("a200"));
    live.add(["node-b", "tenant"], 100, () => cut.push("b100"));
    const ended = live.add(["node-a", "tenant"], 50, () => cut.push("a50"));
    ended[Symbol.dispose]();
    assert.equal(live.cut("node-a", 150), 1);
    assert.equal(live.cut("node-a", 150), 0);
    assert.equal(live.cut("node-c", 999), 0);
    assert.deepEqual(cut, ["a100"]);
    assert.equal(live.cut("node-a", 201), 1);
    assert.deepEqual(cut, ["a100", "a200"]);
  });
});

describe("a frame", () => {
  it("is flags, length and message", () => {
    assert.deepEqual(frameOf(Uint8Array.of(9, 8)), Uint8Array.of(0, 0, 0, 0, 2, 9, 8));
    assert.deepEqual(frameOf(new Uint8Array(), 2), Uint8Array.of(2, 0, 0, 0, 0));
  });
});
