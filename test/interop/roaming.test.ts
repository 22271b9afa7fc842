import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "@cloudvlan/infra/site/until";
import { createLab, type Lab, must } from "@cloudvlan/test/lab";
import {
  INNER,
  INNER6,
  other,
  OUTER,
  OUTER6,
  PAIR,
  type Pair,
  PORT,
  prepare,
  ROLES,
  runStream,
  type Side,
  SIDES,
  startPair,
  startStream,
} from "./pair.ts";

/** Datagrams a second, and in all. */
const RATE = 100;
const COUNT = 150;

/** How the ends reach each other; after a move one of them has the other address. */
const UNDERLAYS = [
  {
    name: "IPv4",
    addresses: OUTER,
    moved: { left: "10.62.0.11", right: "10.62.0.12" },
    prefix: 24,
    inner: INNER6,
    at: (address: string, port: number) => `${address}:${port}`,
  },
  {
    name: "IPv6",
    addresses: OUTER6,
    moved: { left: "fd62::11", right: "fd62::12" },
    prefix: 64,
    inner: INNER,
    at: (address: string, port: number) => `[${address}]:${port}`,
  },
] as const;

describe("roaming with wireguard-go", function () {
  this.timeout(300_000);
  let folder: string;
  let lab: Lab;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "cv-roaming-"));
    lab = await createLab(PAIR, { captureProgram: process.env["CLOUDVLAN_LAB"] ?? "" });
    await prepare(lab);
    // The last address of a subnet is not to take the others along.
    for (const side of SIDES) {
      await must(lab.argvOn(side, ["sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/eth0/promote_secondaries"]));
    }
  });
  after(async () => {
    await lab.close();
    await rm(folder, { recursive: true, force: true });
  });

  for (const kinds of ROLES) {
    for (const { name, addresses, moved, prefix, inner, at } of UNDERLAYS) {
      describe(`when ${kinds.left} calls over ${name}`, () => {
        let pair: Pair;
        before(async () => {
          pair = await startPair(lab, folder, kinds, at(addresses.right, PORT));
          for (const side of SIDES) await runStream(lab, side, RATE, 10, inner);
        });
        after(() => pair[Symbol.asyncDispose]());

        const exchange = async (side: Side, from: string, to: string): Promise<void> => {
          const change = (...args: readonly string[]) => must(lab.argvOn(side, ["ip", "addr", ...args]));
          const nodad = name === "IPv6" ? ["nodad"] : [];
          await change("add", `${to}/${prefix}`, "dev", "eth0", ...nodad);
          await change("del", `${from}/${prefix}`, "dev", "eth0");
        };

        /** A side moves while it sends; the other follows within the session, and answers to where it went. */
        const follows = async (side: Side, move: () => Promise<unknown>, endpoint: string): Promise<void> => {
          await using wire = await lab
            .capture("left", "eth0")
            .then((capture) => ({ capture, [Symbol.asyncDispose]: () => capture.stop().then(() => undefined) }));
          {
            await using stream = await startStream(lab, side, RATE, COUNT, inner);
            await until("it is under way", () => stream.arrived.length > COUNT / 10);
            await move();
            await stream.sent;
            await until("the end of the stream", () => stream.arrived.includes(COUNT - 1));
            assert.equal(new Set(stream.arrived).size, stream.arrived.length, "nothing comes twice");
          }
          assert.deepEqual(await pair.shown(other(side), "endpoints"), [endpoint]);
          const data = wire.capture.packets.filter(({ wg_type: type }) => type === 4);
          const sources = Map.groupBy(data, ({ head_hex: head }) => head.slice(8, 16));
          const ways = [...sources.values()].map(
            (messages) => new Set(messages.map(({ src, sport }) => at(src ?? "", sport ?? 0))),
          );
          assert.ok(
            ways.some((way) => way.size === 2 && way.has(endpoint)),
            "one session, from two places",
          );
          await runStream(lab, other(side), RATE, 20, inner);
        };

        for (const side of SIDES) {
          it(`follows the ${side} one to another port`, async () => {
            const port = PORT + 1;
            await follows(
              side,
              () => pair.ends[side].wg("set", "listen-port", String(port)),
              at(addresses[side], port),
            );
          });

          it(`follows the ${side} one to another address`, async () => {
            try {
              await follows(side, () => exchange(side, addresses[side], moved[side]), at(moved[side], PORT + 1));
            } finally {
              await exchange(side, moved[side], addresses[side]);
            }
            await runStream(lab, side, RATE, 20, inner);
          });
        }
      });
    }
  }
});
