import assert from "node:assert/strict";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type MapHead, StalePolicy } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { type StoreUnderTest, withStores } from "@cloudvlan/kit/testing";
import { eq } from "drizzle-orm";
import { maps } from "../schema.ts";
import { readMap } from "../store.ts";
import type { Mirror } from "./mirror.ts";
import { eventually, makeWorld, type World } from "./world.ts";

const DAY = 86_400;

describe("settings of a map", () => {
  withStores((under: StoreUnderTest) => {
    let world: World;
    beforeEach(async () => {
      world = await makeWorld(under.store);
    });
    afterEach(() => world.dispose());

    const db = () => under.store.database("netmap");
    const ttlOf = ({ issuedAt, expiresAt }: MapHead): number =>
      issuedAt && expiresAt ? (timestampMs(expiresAt) - timestampMs(issuedAt)) / 1000 : 0;
    const says = (view: Mirror, stalePolicy: StalePolicy, ttl: number): boolean =>
      view.head?.stalePolicy === stalePolicy && ttlOf(view.head) === ttl;

    it("stand in the next head of every stream, at every worker, and cost no revision", async () => {
      const [first, second] = [world.worker(under.store), world.worker(await under.openAgain())];
      const [a, b] = [world.newNode(), world.newNode()];
      await world.putDns("one.internal", 1n);
      await world.putNodes({ nodeId: a }, { nodeId: b });
      const views = [first.watch(a), second.watch(b)];
      await eventually("the defaults", () => views.every((view) => says(view, StalePolicy.KEEP, 30 * DAY)));
      const { revision } = await db().tenant(world.tenantId, (tx) => readMap(tx, world));
      await world.putSettings({ stalePolicy: StalePolicy.STOP, mapTtlSeconds: 3_600 });
      await eventually("the new ones", () => views.every((view) => says(view, StalePolicy.STOP, 3_600)));
      assert.equal((await db().tenant(world.tenantId, (tx) => readMap(tx, world))).revision, revision);
      assert.deepEqual(
        views.map(({ fullMaps, error }) => [fullMaps, error]),
        [
          [1, undefined],
          [1, undefined],
        ],
      );
      assert.deepEqual([...first.said, ...second.said], []);
      await first.stop();
      await second.stop();
    });

    it("are in force from the first head on at a worker that starts without registry's word", async () => {
      const former = world.worker(under.store);
      const node = world.newNode();
      await world.putDns("one.internal", 1n);
      await world.putSettings({ stalePolicy: StalePolicy.NO_NEW_FLOWS, mapTtlSeconds: DAY });
      await world.putNodes({ nodeId: node });
      const before = former.watch(node);
      await eventually("the settings", () => before.head !== undefined && says(before, StalePolicy.NO_NEW_FLOWS, DAY));
      await former.stop();
      const worker = world.worker(under.store);
      const view = worker.watch(node, before);
      await eventually("a head", () => view.frames > 0);
      assert.ok(says(view, StalePolicy.NO_NEW_FLOWS, DAY));
      await worker.stop();
    });

    for (const [what, change] of [
      ["settings", { settings: new Uint8Array() }],
      ["their revision", { settingsRevision: 1_000n }],
    ] as const) {
      it(`are read again when somebody changed ${what} in the tables`, async () => {
        const former = world.worker(under.store);
        const node = world.newNode();
        await world.putDns("one.internal", 1n);
        await world.putSettings({ stalePolicy: StalePolicy.STOP, mapTtlSeconds: DAY });
        await world.putNodes({ nodeId: node });
        const before = former.watch(node);
        await eventually("the settings", () => before.head !== undefined && says(before, StalePolicy.STOP, DAY));
        await former.stop();
        await db().tenant(world.tenantId, (tx) => tx.update(maps).set(change).where(eq(maps.tenantId, world.tenantId)));
        const worker = world.worker(under.store);
        const view = worker.watch(node, before);
        await eventually("the settings again", () => view.frames > 0 && says(view, StalePolicy.STOP, DAY));
        await worker.stop();
      });
    }

    it("that no head can carry are refused, and the former ones stay", async () => {
      const worker = world.worker(under.store);
      const node = world.newNode();
      await world.putDns("one.internal", 1n);
      await world.putSettings({ stalePolicy: StalePolicy.STOP, mapTtlSeconds: DAY });
      await world.putNodes({ nodeId: node });
      const view = worker.watch(node);
      await eventually("the settings", () => view.head !== undefined && says(view, StalePolicy.STOP, DAY));
      for (const bad of [{ mapTtlSeconds: DAY }, { stalePolicy: StalePolicy.KEEP, mapTtlSeconds: 400 * DAY }]) {
        const said = worker.said.length;
        await world.putSettings(bad);
        await eventually("the refusal", () => worker.said.length > said);
      }
      const { frames } = view;
      await eventually("another head", () => view.frames > frames + 1);
      assert.ok(says(view, StalePolicy.STOP, DAY));
      await worker.stop();
    });
  });
});
