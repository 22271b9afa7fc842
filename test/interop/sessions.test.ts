import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "@cloudvlan/infra/site/until";
import { type Capture, createLab, type Lab, must } from "@cloudvlan/test/lab";
import {
  INNER6,
  other,
  OUTER,
  PAIR,
  type Pair,
  prepare,
  REJECT_AFTER_S,
  REKEY_AFTER_MESSAGES,
  REKEY_AFTER_S,
  ROLES,
  runStream,
  sessionsOf,
  type Side,
  SIDES,
  startPair,
} from "./pair.ts";

/** Messages of two seconds: after the limit there is a handshake, on a machine that may be busy. */
const SLACK = 500n;
/** Messages that the engine sends in one go at most: of such a run the capture shows the first alone, and it may end a session. */
const RUN = 64n;
const LIMIT = BigInt(REKEY_AFTER_MESSAGES);
/** Datagrams a second. */
const BACK = 20;
const KEEPALIVE_BYTES = 20 + 8 + 32;

describe("sessions with wireguard-go", function () {
  this.timeout(300_000);
  let folder: string;
  let lab: Lab;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "cv-sessions-"));
    lab = await createLab(PAIR, { captureProgram: process.env["CLOUDVLAN_LAB"] ?? "" });
    await prepare(lab);
  });
  after(async () => {
    await lab.close();
    await rm(folder, { recursive: true, force: true });
  });

  for (const kinds of ROLES) {
    describe(`when ${kinds.left} calls`, () => {
      let pair: Pair;
      let wire: Capture | undefined;
      before(async () => {
        pair = await startPair(lab, folder, kinds);
      });
      after(() => pair[Symbol.asyncDispose]());
      beforeEach(async () => {
        wire = await lab.capture("left", "eth0");
      });
      afterEach(async () => {
        await wire?.stop();
      });

      /** Sessions of what a side sent since the test began, and the messages that began them. */
      const seen = (side: Side) => {
        const packets = wire?.packets ?? [];
        const ofType = (type: number) => packets.filter(({ src, wg_type }) => src === OUTER[side] && wg_type === type);
        return { sessions: sessionsOf(packets, OUTER[side]), initiations: ofType(1), data: ofType(4) };
      };

      /** A stream, and another one back: who hears nothing renews its session before its time. */
      const exchange = (from: Side, rate: number, count: number) =>
        Promise.all([
          runStream(lab, from, rate, count),
          runStream(lab, other(from), BACK, Math.floor((count / rate) * BACK)),
        ]);

      it("makes no session with another preshared key, and one with the same", async () => {
        const path = join(folder, "wrong.key");
        await writeFile(path, await must(["wg", "genpsk"]), { mode: 0o600 });
        await pair.set("left", "preshared-key", path, "persistent-keepalive", "1");
        await until("it tries", () => seen("left").initiations.length >= 2);
        for (const side of SIDES) assert.deepEqual(seen(side).data, [], `${side} seals`);
        assert.deepEqual(await pair.shown("left", "latest-handshakes"), ["0"]);
        await pair.set("left", "preshared-key", pair.presharedKeyFile);
        await until("a session", async () => (await pair.shown("left", "latest-handshakes"))[0] !== "0");
        await runStream(lab, "left", 50, 20);
      });

      it("says that it lives as often as it was told, and what it received when nothing goes back", async () => {
        const keepalives = (side: Side) => seen(side).data.filter(({ len }) => len === KEEPALIVE_BYTES).length;
        await until("keepalives", () => keepalives("left") >= 3);
        await pair.set("left", "persistent-keepalive", "0");
        const before = keepalives("right");
        await runStream(lab, "left", 50, 10, INNER6);
        await until("what was received is acknowledged", () => keepalives("right") > before);
      });

      it("renews its sessions by time, and loses nothing", async () => {
        const handshake = async () => Number((await pair.shown("left", "latest-handshakes"))[0]);
        const former = await handshake();
        const rate = 40;
        await exchange("left", rate, rate * REKEY_AFTER_S * 2.5);
        assert.ok((await handshake()) - former >= REKEY_AFTER_S, "wg shows the latest handshake");
        const { sessions } = seen("left");
        assert.ok(sessions.length >= 3, `${sessions.length} sessions`);
        assert.ok(seen("left").initiations.length >= 2);
        assert.deepEqual(seen("right").initiations, [], "only the side that began renews by time");
        for (const { last, seconds } of sessions) {
          assert.ok(last < LIMIT, `${last} messages`);
          assert.ok(seconds < REJECT_AFTER_S, `in use for ${seconds} s`);
        }
        // On a loaded machine silence, too, renews a session.
        const longest = Math.max(...sessions.map(({ seconds }) => seconds));
        assert.ok(longest >= REKEY_AFTER_S - 1, `${longest} s at most`);
      });

      for (const from of SIDES) {
        it(`renews them by messages from the ${from} one, and loses nothing`, async () => {
          await exchange(from, 250, REKEY_AFTER_MESSAGES * 3);
          const { sessions, initiations } = seen(from);
          assert.ok(sessions.length >= 2, `${sessions.length} sessions`);
          assert.ok(initiations.length >= 1, "the side that sends renews");
          const full = sessions.filter(({ last }) => last + RUN >= LIMIT);
          assert.ok(full.length > 0, "no session ended by its messages");
          for (const { last, seconds } of full) {
            assert.ok(last < LIMIT + SLACK, `${last} messages`);
            assert.ok(seconds < REKEY_AFTER_S, `in use for ${seconds} s`);
          }
        });
      }
    });
  }
});
