import assert from "node:assert/strict";
import { formatSpiffe, parseSpiffe, type SpiffeId } from "@cloudvlan/kit/pki";

const uuid = "0189abcd-0000-7000-8000-000000000000";
const cluster = `cluster_${uuid}`;

describe("SPIFFE ids", () => {
  const ids: SpiffeId[] = [
    { trustDomain: cluster, kind: "node", tenantId: `tenant_${uuid}`, nodeId: `node_${uuid}` },
    { trustDomain: cluster, kind: "service", name: "registry" },
    { trustDomain: cluster, kind: "controller", host: "controller-1.example" },
  ];

  it("come back from their text", () => {
    for (const id of ids) assert.deepEqual(parseSpiffe(formatSpiffe(id)), id);
  });

  it("are refused when anything is out of place", () => {
    const bad = [
      "",
      "spiffe://",
      `spiffe://${cluster}`,
      `https://${cluster}/platform/service/auth`,
      `spiffe://other/platform/service/auth`,
      `SPIFFE://${cluster}/platform/service/auth`,
      `spiffe://${cluster}/platform/service/root`,
      `spiffe://${cluster}/platform/service/constructor`,
      `spiffe://${cluster}/platform/service/auth/`,
      `spiffe://${cluster}/platform/service/auth?x`,
      `spiffe://${cluster}/platform/service/auth#x`,
      `spiffe://${cluster}//platform/service/auth`,
      `spiffe://${cluster}/platform/service/`,
      `spiffe://${cluster}/platform/controller/`,
      `spiffe://${cluster}/platform/controller/..`,
      `spiffe://${cluster}/platform/node/node_${uuid}`,
      `spiffe://${cluster}/tenant/tenant_${uuid}/service/auth`,
      `spiffe://${cluster}/tenant/node_${uuid}/node/tenant_${uuid}`,
      `spiffe://${cluster}/tenant/tenant_${uuid}/node/node_${uuid.toUpperCase()}`,
      `spiffe://${cluster}/tenant/tenant_${uuid}/node/node_${uuid}/x`,
      `spiffe://${cluster}:443/platform/service/auth`,
      `spiffe://user@${cluster}/platform/service/auth`,
    ];
    for (const uri of bad) assert.equal(parseSpiffe(uri), undefined, uri);
  });

  it("are not made of parts that would not parse", () => {
    assert.throws(() => formatSpiffe({ trustDomain: cluster, kind: "controller", host: "a/b" }));
    assert.throws(() => formatSpiffe({ trustDomain: "other", kind: "service", name: "auth" }));
  });
});
