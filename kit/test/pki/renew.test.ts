import assert from "node:assert/strict";
import { systemClock } from "@cloudvlan/kit/clock";
import { keepRenewed, renewalTime, retryDelay, type Validity } from "@cloudvlan/kit/pki";

describe("certificate renewal", () => {
  it("is at two thirds of the life, give or take a tenth", () => {
    const validity = { notBefore: new Date(0), notAfter: new Date(30_000) };
    assert.equal(renewalTime(validity, 0.5), 20_000);
    assert.equal(renewalTime(validity, 0), 17_000);
    assert.equal(renewalTime(validity, 1), 23_000);
  });

  it("is retried ever more slowly, up to a minute", () => {
    assert.equal(retryDelay(1, 1), 1_000);
    assert.equal(retryDelay(1, 0), 500);
    assert.equal(retryDelay(3, 1), 4_000);
    assert.equal(retryDelay(1_000_000, 1), 60_000);
  });

  it("comes back after failures, from an expired certificate, and ends with the signal", async () => {
    const end = new AbortController();
    const failures: number[] = [];
    let renewals = 0;
    const longExpired: Validity = { notBefore: new Date(0), notAfter: new Date(1_000) };
    const loop = keepRenewed(
      {
        clock: systemClock,
        random: () => 0,
        current: longExpired,
        onFailure: (_error, count) => failures.push(count),
        renew() {
          if (failures.length < 1) return Promise.reject(new Error("the CA is away"));
          renewals += 1;
          if (renewals === 2) end.abort();
          return Promise.resolve(longExpired);
        },
      },
      end.signal,
    );
    await loop;
    assert.deepEqual(failures, [1]);
    assert.equal(renewals, 2);
  });
});
