import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import {
  PolicyAction,
  PolicyDocumentSchema,
  PolicyProtocol,
  type PolicyRuleSchema,
  type PolicyTargetSchema,
} from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { CvlanService, EnrollmentService, NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { createClient, type Transport } from "@connectrpc/connect";

type Target = MessageInitShape<typeof PolicyTargetSchema>;
type Rule = MessageInitShape<typeof PolicyRuleSchema>;

export const anyone: Target = { target: { case: "any", value: true } };

export function byName(node: string): Target {
  return { target: { case: "node", value: node } };
}

export function allow(name: string, protocol: PolicyProtocol, from: Target = anyone, to: Target = anyone): Rule {
  return { name, action: PolicyAction.ALLOW, protocol, sources: [from], destinations: [to] };
}

export const ping = allow("ping", PolicyProtocol.ICMP);
export const tcp = allow("tcp", PolicyProtocol.TCP);

/** A tenant with one network, seen through the public API. */
export interface SiteTenant {
  readonly tenantId: string;
  readonly cvlanId: string;
  newJoinString(): Promise<string>;
  /** Replaces the policy. */
  apply(...rules: readonly Rule[]): Promise<void>;
  nodeId(name: string): Promise<string>;
  revoke(name: string): Promise<void>;
}

export async function createSiteTenant(api: Transport, name: string): Promise<SiteTenant> {
  const { tenant } = await createClient(TenantService, api).createTenant({ name });
  const tenantId = tenant?.id ?? "";
  const { cvlan } = await createClient(CvlanService, api).createCvlan({ tenantId, name: "main" });
  const cvlanId = cvlan?.id ?? "";
  const nodes = createClient(NodeService, api);
  const nodeId = async (wanted: string): Promise<string> => {
    const { nodes: all } = await nodes.listNodes({ tenantId, cvlanId });
    const found = all.find((node) => node.name === wanted);
    if (!found) throw new Error(`${wanted} is not a node of ${name}`);
    return found.id;
  };
  return {
    tenantId,
    cvlanId,
    nodeId,
    newJoinString: async () =>
      (await createClient(EnrollmentService, api).createJoinToken({ tenantId, cvlanId })).joinString,
    apply: async (...rules) => {
      const document = create(PolicyDocumentSchema, { rules: [...rules] });
      await createClient(PolicyService, api).applyPolicy({ tenantId, cvlanId, document });
    },
    revoke: async (wanted) => void (await nodes.revokeNode({ tenantId, nodeId: await nodeId(wanted) })),
  };
}
