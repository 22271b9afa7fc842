import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { EvaluateRequestSchema } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { evaluator } from "../live/evaluator.ts";

const question = create(EvaluateRequestSchema, { packets: [{ protocol: 6 }] });
const ever = new AbortController().signal;

describe("the program that judges packets", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "cvlan-evaluator-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  const engine = (name: string, ...lines: string[]): string => {
    const path = join(folder, name);
    writeFileSync(path, ["#!/bin/sh", ...lines, ""].join("\n"), { mode: 0o700 });
    return path;
  };
  const reason = (wanted: string) => (error: unknown) => error instanceof Refusal && error.reason === wanted;

  it("is asked for by name when it is not there, or may not be run", async () => {
    writeFileSync(join(folder, "data"), "", { mode: 0o600 });
    for (const path of [join(folder, "none"), "cvlan-engine-of-nobody", join(folder, "data")]) {
      const { evaluate } = evaluator({ engine: path, evaluations: 1 });
      await assert.rejects(evaluate(question, ever), reason("ENGINE_ABSENT"));
    }
  });

  it("fails in its own words, and when it answers something else", async () => {
    const broken = evaluator({ engine: engine("broken", "echo 'packets[0]: wrong' >&2", "exit 1"), evaluations: 1 });
    await assert.rejects(broken.evaluate(question, ever), /packets\[0\]: wrong/);
    const silent = evaluator({ engine: engine("silent", "exec cat >/dev/null"), evaluations: 1 });
    await assert.rejects(silent.evaluate(question, ever), /answered 0 of 1 packets/);
    const garbled = evaluator({ engine: engine("garbled", "printf '\\377\\377\\377'"), evaluations: 1 });
    await assert.rejects(garbled.evaluate(question, ever));
  });

  it("runs so many times at once, lets so many wait, and is ended with the request", async () => {
    const { evaluate } = evaluator({ engine: engine("slow", "exec sleep 600"), evaluations: 2 });
    const stop = new AbortController();
    const asked = Array.from({ length: 2 + 64 }, () => evaluate(question, stop.signal));
    const ended = Promise.allSettled(asked);
    await assert.rejects(evaluate(question, ever), reason("TOO_MANY_EVALUATIONS"));
    stop.abort();
    assert((await ended).every(({ status }) => status === "rejected"));
    const refused = await evaluate(question, AbortSignal.abort()).catch((error: unknown) => error);
    assert(!(refused instanceof Refusal), "there is room again");
  });

  it("is not given more than it may read", async () => {
    const large = create(EvaluateRequestSchema, {
      packets: Array.from({ length: 33 }, () => ({ source: new Uint8Array(1024 * 1024) })),
    });
    const { evaluate } = evaluator({ engine: engine("unused", "exit 1"), evaluations: 1 });
    await assert.rejects(evaluate(large, ever), reason("QUESTION_TOO_LARGE"));
  });
});
