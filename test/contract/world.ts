import { create, toBinary } from "@bufbuild/protobuf";
import { ApiKeyService, AuthService, TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import {
  PolicyAction,
  PolicyProtocol,
  type PolicyRule,
  PolicyRuleSchema,
  type PolicyTarget,
  PolicyTargetSchema,
} from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { CvlanService, EnrollmentService, GroupService, NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { type CvlanId, type Id, type IdKind, isId, type TenantId } from "@cloudvlan/kit/ids";
import { createClient } from "@connectrpc/connect";
import type { Installation } from "./installation.ts";
import { join, type MachineKeys, type Member } from "./member.ts";

/** Everything a key of a tenant can carry. */
export const GRANTABLE: readonly Permission[] = Object.values(Permission).filter(
  (value): value is Permission =>
    typeof value === "number" && ![Permission.UNSPECIFIED, Permission.NONE, Permission.CONTROL_PLANE].includes(value),
);

/** What a join token gives besides the right to join. */
export interface TokenOptions {
  readonly ttlSeconds?: number;
  readonly groupIds?: string[];
  readonly tags?: { readonly tags: Record<string, string> };
  readonly cvlanId?: string;
}

/** One tenant with an administrator, a cvlan and a way to fill it. */
export interface Side {
  readonly tenantId: TenantId;
  readonly tenantName: string;
  readonly cvlanId: CvlanId;
  readonly cvlanName: string;
  /** API key with every permission. */
  readonly admin: string;
  newKey(permissions: readonly Permission[], ttlSeconds?: number): Promise<{ id: string; secret: string }>;
  newCvlan(ipv4Pool?: string): Promise<CvlanId>;
  newGroup(): Promise<{ id: string; name: string }>;
  /** @returns the join string. */
  newToken(options?: TokenOptions): Promise<string>;
  newMember(keys?: MachineKeys, token?: TokenOptions): Promise<Member>;
  revoke(member: Member): Promise<void>;
  /** Puts these rules in force in place of all others. */
  apply(...rules: PolicyRule[]): Promise<void>;
}

type Target = PolicyTarget["target"];

/** Whatever there is. */
export const ANY: Target = { case: "any", value: true };

/** A rule that allows every protocol from one target to another. */
export function allow(name: string, source: Target, destination: Target): PolicyRule {
  return create(PolicyRuleSchema, {
    name,
    action: PolicyAction.ALLOW,
    protocol: PolicyProtocol.ANY,
    sources: [create(PolicyTargetSchema, { target: source })],
    destinations: [create(PolicyTargetSchema, { target: destination })],
  });
}

let count = 0;

/** A name that nothing in this process has. */
export function newName(prefix: string): string {
  count += 1;
  return `${prefix}-${count}`;
}

export function typed<K extends IdKind>(kind: K, id: string | undefined): Id<K> {
  if (id === undefined || !isId(kind, id)) throw new Error(`${id} is no ${kind} id`);
  return id;
}

/** Makes a tenant with a cvlan in an installation. */
export async function newSide(installation: Installation, prefix: string): Promise<Side> {
  const owner = installation.person(installation.ownerKey);
  const tenantName = newName(prefix);
  const { tenant } = await createClient(TenantService, owner).createTenant({ name: tenantName });
  const tenantId = typed("tenant", tenant?.id);
  const [cvlans, groups, enrolment, keys] = [
    createClient(CvlanService, owner),
    createClient(GroupService, owner),
    createClient(EnrollmentService, owner),
    createClient(ApiKeyService, owner),
  ];

  async function newKey(permissions: readonly Permission[], ttlSeconds = 0): Promise<{ id: string; secret: string }> {
    const scope = { permissions: [...permissions] };
    const { apiKey, secret } = await keys.createApiKey({ tenantId, name: newName("key"), scope, ttlSeconds });
    return { id: typed("apikey", apiKey?.id), secret };
  }
  const cvlanName = newName(`${prefix}-lan`);
  const { cvlan } = await cvlans.createCvlan({ tenantId, name: cvlanName });
  const cvlanId = typed("cvlan", cvlan?.id);
  const admin = await newKey(GRANTABLE);

  const newToken: Side["newToken"] = async (options = {}) => {
    const { joinString } = await enrolment.createJoinToken({ tenantId, cvlanId, ...options });
    return joinString;
  };
  return {
    tenantId,
    tenantName,
    cvlanId,
    cvlanName,
    admin: admin.secret,
    newKey,
    newToken,
    async newCvlan(ipv4Pool = "") {
      const made = await cvlans.createCvlan({ tenantId, name: newName("lan"), ipv4Pool });
      return typed("cvlan", made.cvlan?.id);
    },
    async newGroup() {
      const name = newName("group");
      const { group } = await groups.createGroup({ tenantId, cvlanId, name });
      return { id: typed("group", group?.id), name };
    },
    newMember: async (machine, token) => join(await newToken(token), newName("node"), machine),
    async revoke({ nodeId }) {
      await createClient(NodeService, owner).revokeNode({ tenantId, nodeId });
    },
    async apply(...rules) {
      await createClient(PolicyService, owner).applyPolicy({ tenantId, cvlanId, document: { rules } });
    },
  };
}

/** The header that carries a person's authority from one service to another, as auth signed it. */
export async function callContextOf(installation: Installation, apiKey: string): Promise<string> {
  const service = installation.inProcess({ kind: "local", service: "registry" });
  const { context } = await createClient(AuthService, service).authenticate({ apiKey, requestId: "contract-suite" });
  if (!context) throw new Error("auth answered without a call context");
  return Buffer.from(toBinary(SignedSchema, create(SignedSchema, context))).toString("base64");
}
