import assert from "node:assert/strict";
import { NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { newId } from "@cloudvlan/kit/ids";
import { type Client, createClient, createRouterTransport } from "@connectrpc/connect";
import { locator } from "../handlers/locate.ts";

describe("finding a node's cvlan", () => {
  const now = Date.now();
  const [tenantId, otherTenant] = [newId("tenant", now), newId("tenant", now)];
  const [nodeId, cvlanId] = [newId("node", now), newId("cvlan", now)];
  let asked: number;
  let nodes: Pick<Client<typeof NodeService>, "getNode">;
  beforeEach(() => {
    asked = 0;
    const transport = createRouterTransport((router) => {
      router.service(NodeService, { getNode: () => ({ node: { id: nodeId, tenantId, cvlanId } }) });
    });
    const client = createClient(NodeService, transport);
    nodes = {
      getNode: async (request, options) => {
        asked++;
        if (request.tenantId !== tenantId) throw new Refusal("not_found", "NODE_UNKNOWN", "no such node");
        return client.getNode(request, options);
      },
    };
  });

  it("asks registry once", async () => {
    const locate = locator(nodes);
    for (let n = 0; n < 3; n++) assert.deepEqual(await locate({ tenantId, nodeId }), { tenantId, cvlanId });
    assert.equal(asked, 1);
  });

  it("refuses a certificate that names another tenant's node, whoever was found before", async () => {
    const locate = locator(nodes);
    await locate({ tenantId, nodeId });
    await assert.rejects(
      locate({ tenantId: otherTenant, nodeId }),
      (error) => error instanceof Refusal && error.kind === "denied",
    );
  });
});
