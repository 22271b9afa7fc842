import { create } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import { TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import {
  PolicyAction,
  PolicyDocumentSchema,
  PolicyProtocol,
  type PolicyRule,
  PolicyRuleSchema,
} from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { CvlanService, EnrollmentService } from "@cloudvlan/gen/registry/v1/registry_pb.js";

function allow(name: string, protocol: PolicyProtocol): PolicyRule {
  const any = { target: { case: "any" as const, value: true } };
  return create(PolicyRuleSchema, { name, action: PolicyAction.ALLOW, sources: [any], destinations: [any], protocol });
}

/** A tenant with one network in which everybody may ping everybody and connect by TCP and UDP. */
export interface DemoTenant {
  readonly tenantId: string;
  readonly cvlanId: string;
  /** Makes a join string, good for one machine within the hour. */
  newJoinString(): Promise<string>;
}

/** Makes the tenant, its network and its policy through the public API. */
export async function createDemoTenant(api: Transport): Promise<DemoTenant> {
  const { tenant } = await createClient(TenantService, api).createTenant({ name: "demo" });
  const tenantId = tenant?.id ?? "";
  const { cvlan } = await createClient(CvlanService, api).createCvlan({ tenantId, name: "demo" });
  const cvlanId = cvlan?.id ?? "";
  const rules = [
    allow("ping", PolicyProtocol.ICMP),
    allow("tcp", PolicyProtocol.TCP),
    allow("udp", PolicyProtocol.UDP),
  ];
  const document = create(PolicyDocumentSchema, { rules });
  await createClient(PolicyService, api).applyPolicy({ tenantId, cvlanId, document });
  const enrollment = createClient(EnrollmentService, api);
  return {
    tenantId,
    cvlanId,
    newJoinString: async () => (await enrollment.createJoinToken({ tenantId, cvlanId })).joinString,
  };
}
