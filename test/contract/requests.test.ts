import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { ApiKeyService, TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import {
  PolicyProtocol,
  type PolicyRule,
  PolicyRuleSchema,
  type PolicyTarget,
  PolicyTargetSchema,
  PortRangeSchema,
} from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { CvlanService, NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { createClient } from "@connectrpc/connect";
import { type Installation, newInstallation } from "./installation.ts";
import type { Member } from "./member.ts";
import { refusalOf } from "./outcome.ts";
import { allow, ANY, GRANTABLE, newName, newSide, type Side } from "./world.ts";

describe("a request that cannot be granted", function () {
  this.timeout(120_000);
  let installation: Installation;
  let side: Side;
  let other: Side;
  let member: Member;

  before(async () => {
    installation = await newInstallation({ kind: "postgres" });
    [side, other] = [await newSide(installation, "alice"), await newSide(installation, "bob")];
    member = await side.newMember();
  });
  after(() => installation.close());

  describe("of a policy that names what does not exist says where, and leaves the former one in force:", () => {
    const client = () => createClient(PolicyService, installation.person(side.admin));
    const scope = () => ({ tenantId: side.tenantId, cvlanId: side.cvlanId });
    const former = allow("former", ANY, ANY);

    before(() => side.apply(former));

    async function assertUnknown(rules: PolicyRule[], field: string, reason = "TARGET_UNKNOWN"): Promise<void> {
      const told = await refusalOf(client().applyPolicy({ ...scope(), document: { rules } }));
      assert.deepEqual([told.code, told.reason, told.field], ["InvalidArgument", reason, field]);
      assert.notEqual(told.remedy, "");
      const { policy } = await client().getPolicy(scope());
      assert.deepEqual(
        policy?.document?.rules.map(({ name }) => name),
        ["former"],
      );
    }
    const absent: readonly PolicyTarget["target"][] = [
      { case: "group", value: "nowhere" },
      { case: "tag", value: "color=ultraviolet" },
      { case: "node", value: "nobody" },
    ];
    for (const target of absent) {
      it(`a ${target.case}`, async () => {
        await assertUnknown([allow("a", target, ANY)], `document.rules[0].sources[0].${target.case}`);
        await assertUnknown(
          [allow("fine", ANY, ANY), allow("b", ANY, target)],
          `document.rules[1].destinations[0].${target.case}`,
        );
      });
    }
    it("a group of another tenant, which looks like one that is not", async () => {
      const group = await other.newGroup();
      await assertUnknown(
        [allow("a", { case: "group", value: group.name }, ANY)],
        "document.rules[0].sources[0].group",
      );
    });
    it("a name that two rules have", async () => {
      await assertUnknown([allow("a", ANY, ANY), allow("a", ANY, ANY)], "document.rules[1].name", "RULE_NAME_TAKEN");
    });
    it("ports of a protocol without ports", async () => {
      const rule = create(PolicyRuleSchema, {
        ...allow("a", ANY, ANY),
        ports: [create(PortRangeSchema, { first: 22 })],
      });
      await assertUnknown([rule], "document.rules[0].ports", "PORTS_WITHOUT_PROTOCOL");
    });
    it("a range of ports that ends before it begins", async () => {
      const ports = [create(PortRangeSchema, { first: 90, last: 80 })];
      const rule = create(PolicyRuleSchema, { ...allow("a", ANY, ANY), protocol: PolicyProtocol.TCP, ports });
      await assertUnknown([rule], "document.rules[0].ports[0].last", "PORT_RANGE_REVERSED");
    });
    it("a prefix with host bits", async () => {
      const told = await refusalOf(
        client().applyPolicy({
          ...scope(),
          document: { rules: [allow("a", { case: "cidr", value: "10.0.0.1/8" }, ANY)] },
        }),
      );
      assert.deepEqual([told.code, told.field], ["InvalidArgument", "document.rules[0].sources[0].cidr"]);
    });
    it("a target that is nothing, 256 targets too many, a rule without an action", async () => {
      const nothing = create(PolicyTargetSchema);
      const many = Array.from({ length: 257 }, () => create(PolicyTargetSchema, { target: ANY }));
      for (const rule of [
        create(PolicyRuleSchema, { ...allow("a", ANY, ANY), sources: [nothing] }),
        create(PolicyRuleSchema, { ...allow("a", ANY, ANY), destinations: many }),
        create(PolicyRuleSchema, { ...allow("a", ANY, ANY), action: 0 }),
        create(PolicyRuleSchema, { ...allow("a", ANY, ANY), action: 77 as never }),
      ]) {
        const told = await refusalOf(client().applyPolicy({ ...scope(), document: { rules: [rule] } }));
        assert.equal(told.code, "InvalidArgument");
        assert.match(told.field, /^document\.rules\[0\]\./);
      }
    });
    it("a version that is not in force any more", async () => {
      const { policy } = await client().getPolicy(scope());
      const baseVersion = (policy?.version ?? 0n) - 1n;
      const told = await refusalOf(client().applyPolicy({ ...scope(), document: { rules: [former] }, baseVersion }));
      assert.deepEqual(
        [told.code, told.reason, told.field],
        ["FailedPrecondition", "POLICY_VERSION_CHANGED", "base_version"],
      );
    });
  });

  describe("of an address pool says what is wrong with it:", () => {
    const cases: readonly (readonly [string, string])[] = [
      ["no prefix", "ten"],
      ["host bits", "10.0.0.1/8"],
      ["IPv6", "fd00::/64"],
      ["too large", "10.0.0.0/7"],
      ["too small", "10.0.0.0/31"],
      ["loopback", "127.0.0.0/8"],
      ["link-local", "169.254.0.0/16"],
      ["multicast", "224.0.0.0/8"],
      ["nothing at all", "0.0.0.0/8"],
    ];
    for (const [what, ipv4Pool] of cases) {
      it(what, async () => {
        const cvlans = createClient(CvlanService, installation.person(side.admin));
        const told = await refusalOf(cvlans.createCvlan({ tenantId: side.tenantId, name: newName("lan"), ipv4Pool }));
        assert.deepEqual([told.code, told.field], ["InvalidArgument", "ipv4_pool"]);
        assert.notEqual(told.remedy, "");
      });
    }
    it("a route that overlaps the pool of its own cvlan", async () => {
      const nodes = createClient(NodeService, installation.person(side.admin));
      for (const prefix of ["100.64.0.0/16", "100.0.0.0/8", "0.0.0.0/0"]) {
        const routes = { routes: [{ prefix: "192.168.7.0/24" }, { prefix }] };
        const told = await refusalOf(nodes.updateNode({ tenantId: side.tenantId, nodeId: member.nodeId, routes }));
        assert.deepEqual([told.code, told.field], ["InvalidArgument", "routes.routes[1].prefix"]);
      }
      const { node } = await nodes.getNode({ tenantId: side.tenantId, nodeId: member.nodeId });
      assert.deepEqual(node?.routes, []);
    });
    it("two cvlans, of one tenant and of two, may have the same", async () => {
      for (const each of [side, side, other]) await each.newCvlan("10.20.0.0/16");
    });
  });

  describe("of an API key", () => {
    const keys = (apiKey: string) => createClient(ApiKeyService, installation.person(apiKey));
    const tenants = (apiKey: string) => createClient(TenantService, installation.person(apiKey));

    it("that is to hold more than its maker's", async () => {
      const maker = await side.newKey([Permission.API_KEY_WRITE, Permission.TENANT_READ]);
      const told = await refusalOf(
        keys(maker.secret).createApiKey({
          tenantId: side.tenantId,
          name: "more",
          scope: { permissions: [Permission.TENANT_READ, Permission.NODE_WRITE] },
        }),
      );
      assert.deepEqual(
        [told.code, told.reason, told.field],
        ["PermissionDenied", "SCOPE_EXCEEDS_OWN", "scope.permissions"],
      );
    });
    it("that is to hold what only services hold", async () => {
      for (const permission of [Permission.CONTROL_PLANE, Permission.NONE, Permission.UNSPECIFIED, 4711 as never]) {
        const told = await refusalOf(
          keys(installation.ownerKey).createApiKey({
            tenantId: side.tenantId,
            name: "control",
            scope: { permissions: [permission] },
          }),
        );
        assert.deepEqual([told.code, told.field], ["InvalidArgument", "scope.permissions[0]"]);
      }
    });
    it("that was revoked, that is wrong by a letter, of another tenant by its text: one and the same refusal", async () => {
      const revoked = await side.newKey(GRANTABLE);
      await tenants(revoked.secret).getTenant({ tenantId: side.tenantId });
      await keys(side.admin).revokeApiKey({ tenantId: side.tenantId, apiKeyId: revoked.id });
      const good = side.admin;
      const wrong = good.slice(0, -2) + (good.endsWith("AA") ? "BB" : "AA");
      const foreign = good.replace(side.tenantId.slice("tenant_".length), other.tenantId.slice("tenant_".length));
      const platform = good.replace(side.tenantId.slice("tenant_".length), "platform");
      const [first, ...others] = await Promise.all(
        [revoked.secret, wrong, foreign, platform].map((apiKey) =>
          refusalOf(tenants(apiKey).getTenant({ tenantId: side.tenantId })),
        ),
      );
      assert.deepEqual([first?.code, first?.reason], ["Unauthenticated", "CREDENTIAL_REFUSED"]);
      for (const told of others) assert.deepEqual(told, first);
      await tenants(good).getTenant({ tenantId: side.tenantId });
    });
    it("beside a client certificate", async () => {
      const headers = { authorization: `Bearer ${side.admin}` };
      const holder = createClient(TenantService, installation.holder(member.credential));
      const told = await refusalOf(holder.getTenant({ tenantId: side.tenantId }, { headers }));
      assert.deepEqual([told.code, told.reason], ["Unauthenticated", "TWO_CREDENTIALS"]);
    });
  });
});
