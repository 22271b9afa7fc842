import assert from "node:assert/strict";
import { create, fromBinary } from "@bufbuild/protobuf";
import { EndpointHintSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { PollRequestSchema, ReportEndpointsRequestSchema } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import type { NodeId } from "@cloudvlan/kit/ids";
import { type StoreUnderTest, withStores } from "@cloudvlan/kit/testing";
import { hintOf } from "../domain/endpoints.ts";
import { reportEndpoints } from "../handlers/report.ts";
import { poll } from "../handlers/watch.ts";
import { tagged } from "./records.ts";
import { callerOf, eventually, makeWorld, type Worker, type World } from "./world.ts";

const at = (address: string, port = 51_820) => ({ address, port });
const request = (...endpoints: { address: string; port: number }[]) =>
  create(ReportEndpointsRequestSchema, { endpoints });

describe("endpoint reports", () => {
  it("hold canonical addresses, each once, that another machine could reach", () => {
    const hint = fromBinary(
      EndpointHintSchema,
      hintOf(
        "node_x",
        request(at("192.0.2.1"), at("::ffff:192.0.2.1"), at("2001:db8:0::1"), at("192.0.2.1", 4500)).endpoints,
      ),
    );
    assert.deepEqual(
      hint.endpoints.map(({ address, port }) => `${address} ${port}`),
      ["192.0.2.1 51820", "2001:db8::1 51820", "192.0.2.1 4500"],
    );
    for (const address of [
      "127.0.0.1",
      "::1",
      "0.0.0.0",
      "::",
      "224.0.0.1",
      "ff02::1",
      "::ffff:127.0.0.1",
      "255.255.255.255",
      "fe80::1%eth0",
      "x",
    ]) {
      assert.throws(
        () => hintOf("node_x", request(at("192.0.2.1"), at(address)).endpoints),
        (error) =>
          error instanceof Refusal && error.kind === "invalid" && error.detail.field === "endpoints[1].address",
        address,
      );
    }
    const many = Array.from({ length: 17 }, (_, n) => at(`192.0.2.${n + 1}`));
    assert.throws(() => hintOf("node_x", request(...many).endpoints), Refusal);
  });

  withStores((under: StoreUnderTest) => {
    let world: World;
    let worker: Worker;
    let client: NodeId;
    let server: NodeId;
    let other: NodeId;
    beforeEach(async () => {
      world = await makeWorld(under.store);
      worker = world.worker(under.store, { reports_per_minute: 5, endpoint_seconds: 3 });
      [client, server, other] = [world.newNode(), world.newNode(), world.newNode()];
      await world.putNodes(
        { nodeId: client, tags: ["client"] },
        { nodeId: server, tags: ["server"] },
        { nodeId: other },
      );
      await world.putPolicy({ name: "web", sources: [tagged("client")], destinations: [tagged("server")] });
    });
    afterEach(async () => {
      await worker.stop();
      world.dispose();
    });

    const report = (nodeId: NodeId, ...endpoints: { address: string; port: number }[]) =>
      reportEndpoints(
        worker.deps,
        request(...endpoints),
        { tenantId: world.tenantId, nodeId },
        callerOf(world.tenantId, nodeId),
      );

    it("reach those who see the reporter, on every worker, and nobody else", async () => {
      const second = world.worker(await under.openAgain());
      const views = { client: second.watch(client), other: second.watch(other), server: worker.watch(server) };
      await eventually(
        "first maps",
        () => views.client.nodes.has(server) && views.other.fullMaps === 1 && views.server.nodes.has(client),
      );
      await report(server, at("192.0.2.7"));
      await eventually("the hint", () => views.client.hints.get(server)?.endpoints[0]?.address === "192.0.2.7");
      await report(server, at("192.0.2.8"));
      await eventually("the newer hint", () => views.client.hints.get(server)?.endpoints[0]?.address === "192.0.2.8");
      const late = worker.watch(client);
      await eventually("a full map brings it", () => late.hints.has(server));
      const resumed = worker.watch(client, late);
      await eventually("a resume brings it", () => resumed.hints.has(server));
      assert.equal(resumed.fullMaps, 0);
      assert.equal(views.other.hints.size, 0);
      assert.equal(views.server.hints.size, 0);
      await second.stop();
    });

    it("are forgotten after their time", async () => {
      await report(server, at("192.0.2.7"));
      const view = worker.watch(client);
      await eventually("the hint", () => view.hints.has(server));
      const deadline = Date.now() + 3_000;
      await eventually("its time is over", () => Date.now() > deadline);
      const late = worker.watch(client);
      await eventually("the map", () => late.nodes.has(server));
      assert.equal(late.hints.size, 0);
    });

    it("are bounded in rate", async () => {
      for (let n = 0; n < 5; n++) await report(server, at("192.0.2.7"));
      await assert.rejects(
        report(server, at("192.0.2.7")),
        (error) => error instanceof Refusal && error.kind === "exhausted",
      );
      await report(client, at("192.0.2.9"));
    });

    it("a poll gives in one answer what the stream gives", async () => {
      await report(server, at("192.0.2.7"));
      const view = worker.watch(client);
      await eventually("the map", () => view.nodes.has(server));
      const node = { tenantId: world.tenantId, nodeId: client };
      const signal = AbortSignal.timeout(30_000);
      const full = await poll(worker.deps, create(PollRequestSchema, {}), node, signal);
      assert.equal(full.length, 1);
      assert(full[0]?.full && full[0].head.length > 0 && full[0].keyset.length > 0);
      assert.deepEqual([full[0].nodes.length, full[0].rules.length, full[0].hints.length], [2, 1, 1]);
      const position = { epoch: view.epoch, revision: full[0].revision, keysetVersion: view.keyset?.version ?? 0n };
      const [again] = await poll(worker.deps, create(PollRequestSchema, { position }), node, signal);
      assert(again && !again.full && again.head.length > 0);
      assert.equal(again.previous, again.revision);
      assert.equal(again.nodes.length, 0);
    });
  });
});
