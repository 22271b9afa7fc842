import assert from "node:assert/strict";
import { type Benchmark, median, quantile } from "../benchmark.ts";
import { optionsOf } from "../options.ts";
import { reportOf, tableOf } from "../report.ts";

const benchmark: Benchmark = {
  name: "sample",
  rows: { speed: { unit: "Gbit/s", better: "more" }, delay: { unit: "ms", better: "less" } },
  enclosed: false,
  run: async () => ({}),
};

describe("the line of a benchmark", () => {
  it("tells medians of ours and of rivals, runs and versions", () => {
    const speed = { ours: [3, 1, 2], rivals: { other: [5, 4] }, versions: { other: "1.2.3" } };
    assert.deepEqual(reportOf(benchmark, ["speed"], { speed }, [0.5, 1.5]), {
      bench: "sample",
      rows: {
        speed: {
          unit: "Gbit/s",
          better: "more",
          ours: 2,
          rivals: { other: 4.5 },
          versions: { other: "1.2.3" },
          runs: 3,
        },
      },
      load: [0.5, 1.5],
    });
  });

  it("says why a row has no figure, and never leaves one out", () => {
    const results = { speed: { skipped: "needs a card" } };
    assert.deepEqual(reportOf(benchmark, ["speed", "delay"], results, [0, 0]), {
      bench: "sample",
      rows: {
        speed: { unit: "Gbit/s", better: "more", skipped: "needs a card" },
        delay: { unit: "ms", better: "less", skipped: "it was not measured" },
      },
      load: [0, 0],
    });
  });

  it("tells what nothing can pass, and who could not be measured", () => {
    const speed = { ours: [3], ceiling: [8, 9, 10], skippedRivals: { other: "does not build" } };
    const { rows } = reportOf(benchmark, ["speed"], { speed }, [0, 0]) as { rows: Record<string, object> };
    assert.deepEqual(rows["speed"], {
      unit: "Gbit/s",
      better: "more",
      ours: 3,
      rivals: {},
      rivals_skipped: { other: "does not build" },
      versions: {},
      ceiling: 9,
      runs: 1,
    });
  });

  it("stands below a table with the spread of each figure", () => {
    const speed = { ours: [3, 1, 2], rivals: { other: [5, 4] }, ceiling: [9] };
    assert.deepEqual(tableOf(benchmark, ["speed", "delay"], { speed }), [
      "speed  Gbit/s  ours 2 [1-3]                  other 4.5 [4-5]  ceiling 9 [9-9]",
      "delay  ms      skipped: it was not measured",
    ]);
  });

  it("takes quantiles between figures, and refuses to take one of nothing", () => {
    assert.equal(median([10, 30]), 20);
    assert.equal(quantile([1, 2, 3, 4, 5], 0.99), 4.96);
    assert.throws(() => median([]), /no figures/);
  });
});

describe("the options of a benchmark", () => {
  it("measure all rows unless some are named", () => {
    assert.deepEqual(optionsOf(["sample"], [benchmark]).rows, ["speed", "delay"]);
    assert.deepEqual(optionsOf(["sample", "--rows", "delay", "--quick"], [benchmark]), {
      benchmark,
      rows: ["delay"],
      quick: true,
    });
  });

  it("are refused for what is not there, with what is", () => {
    assert.throws(() => optionsOf(["other"], [benchmark]), /name one benchmark of sample/);
    assert.throws(() => optionsOf(["sample", "more"], [benchmark]), /name one benchmark/);
    assert.throws(
      () => optionsOf(["sample", "--rows", "speed,size"], [benchmark]),
      /no row size; its rows are speed, delay/,
    );
    assert.throws(() => optionsOf(["sample", "--slow"], [benchmark]), /slow/);
  });
});
