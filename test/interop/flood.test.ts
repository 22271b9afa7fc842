import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "@cloudvlan/infra/site/until";
import { type Capture, createLab, type Lab } from "@cloudvlan/test/lab";
import {
  FROM_CROWD,
  INNER,
  OUTER,
  PAIR,
  type Pair,
  PORT,
  prepare,
  ROLES,
  runStream,
  startPair,
  STRANGERS,
} from "./pair.ts";

/** Spoofed initiations a second, more than one processor answers; and how long at most. */
const RATE = 20_000;
const SECONDS = 60;

describe("a flood of handshakes, with wireguard-go", function () {
  this.timeout(300_000);
  let folder: string;
  let lab: Lab;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "cv-flood-"));
    lab = await createLab(PAIR, { captureProgram: process.env["CLOUDVLAN_LAB"] ?? "" });
    await prepare(lab);
  });
  after(async () => {
    await lab.close();
    await rm(folder, { recursive: true, force: true });
  });

  for (const kinds of ROLES) {
    describe(`at ${kinds.right}`, () => {
      let pair: Pair;
      let wire: Capture;
      before(async () => {
        pair = await startPair(lab, folder, kinds);
        wire = await lab.capture("left", "eth0");
      });
      after(async () => {
        await wire.stop();
        await pair[Symbol.asyncDispose]();
      });

      /** Where in what was captured a message from a side is, that comes after another. */
      const place = (type: number, source: string, from = 0): number =>
        wire.packets.findIndex(({ src, wg_type }, index) => index >= from && src === source && wg_type === type);

      it(`has ${kinds.left} return a cookie, and make its session`, async () => {
        const key = Buffer.from(pair.publicKeys.right, "base64").toString("hex");
        const argv = [process.env["CLOUDVLAN_LAB"] ?? "", "spoof", "--to", `${FROM_CROWD}:${PORT}`, "--key", key];
        argv.push("--from", STRANGERS, "--rate", String(RATE), "--seconds", String(SECONDS));
        const flood = await lab.spawn("crowd", argv, { stdio: ["ignore", "ignore", "inherit"] });
        try {
          // Until the flood is noticed, handshakes are done as ever: the caller forgets them and begins anew.
          await until("a cookie", async () => {
            await pair.set("left", "remove");
            await pair.set("left", "allowed-ips", `${INNER.right}/32`, "endpoint", `${OUTER.right}:${PORT}`);
            await pair.set("left", "preshared-key", pair.presharedKeyFile, "persistent-keepalive", "1");
            return await until("an answer", async () => {
              if (place(3, OUTER.right) >= 0) return "cookie";
              return (await pair.shown("left", "latest-handshakes"))[0] === "0" ? undefined : "response";
            }).then((answer) => answer === "cookie");
          });
          const cookie = place(3, OUTER.right);
          const begun = await until("an initiation with the cookie", () => {
            const found = place(1, OUTER.left, cookie);
            return found >= 0 && found;
          });
          await until("its response", () => place(2, OUTER.right, begun) >= 0);
          assert.equal(flood.exitCode, null, "the flood goes on");
        } finally {
          const ended = once(flood, "exit");
          if (flood.kill("SIGTERM")) await ended;
        }
        await runStream(lab, "left", 50, 20);
      });
    });
  }
});
