import assert from "node:assert/strict";
import { TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { PolicyAction, PolicyProtocol } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { CvlanService, EnrollmentService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { programsOf } from "@cloudvlan/infra/start/programs";
import { connectTo, fetchTrustBundle } from "@cloudvlan/kit/client";
import { createClient } from "@connectrpc/connect";
import { joinRequest, memberOf, newMachineKeys } from "../contract/member.ts";
import { view } from "../contract/viewer.ts";
import { siteFolder } from "./site/folder.ts";
import { anyone, until } from "./site/index.ts";
import { type SplitName, startSplit } from "./site/split.ts";

describe("each service in a process of its own", function () {
  this.timeout(300_000);

  it("enrols a node and shows it its map, over mTLS from service to service", async () => {
    await using cleanup = new AsyncDisposableStack();
    const { path: folder } = cleanup.use(await siteFolder("cv-split-"));
    const split = cleanup.use(await startSplit(folder, programsOf(process.env, process.execPath)));
    const urlOf = (name: SplitName) => split.urlOf(name);
    const roots = await fetchTrustBundle(urlOf("auth"), Buffer.from(split.ca.caSha256, "hex"));
    const { tenant } = await createClient(TenantService, await split.asOwner("auth")).createTenant({ name: "split" });
    const tenantId = tenant?.id ?? "";
    const registry = await split.asOwner("registry");
    const { cvlan } = await createClient(CvlanService, registry).createCvlan({ tenantId, name: "main" });
    const cvlanId = cvlan?.id ?? "";
    const rules = [
      {
        name: "ping",
        action: PolicyAction.ALLOW,
        sources: [anyone],
        destinations: [anyone],
        protocol: PolicyProtocol.ICMP,
      },
    ];
    const policy = createClient(PolicyService, await split.asOwner("policy"));
    await policy.applyPolicy({ tenantId, cvlanId, document: { rules } });

    const enrol = async (name: string) => {
      const enrollment = createClient(EnrollmentService, registry);
      const { joinString } = await enrollment.createJoinToken({ tenantId, cvlanId });
      const keys = await newMachineKeys();
      const anonymous = connectTo(urlOf("registry"), { roots });
      cleanup.defer(() => anonymous.close());
      const request = await joinRequest(anonymous, joinString, keys, name);
      return memberOf(joinString, keys, await createClient(EnrollmentService, anonymous).join(request));
    };
    const [one, two] = [await enrol("one"), await enrol("two")];
    const connection = connectTo(urlOf("netmap"), { roots, ...one.credential });
    cleanup.defer(() => connection.close());
    const map = view(connection, one);
    cleanup.defer(() => map.stop());
    await until(
      "the first node sees the second and the rule",
      () => map.nodes.has(two.nodeId) && map.rules.has("ping"),
    );
    assert.equal(map.distrust, undefined);
  });
});
