import { create } from "@bufbuild/protobuf";
import {
  PolicyAction,
  PolicyProtocol,
  type PolicyRule,
  PolicyRuleSchema,
  PolicyTargetSchema,
} from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { EnrollmentService, GroupService, NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import type { SiteTenant } from "../site/tenant.ts";
import type { Ledger } from "./ledger.ts";

/** One of many who write at once: does its writes over and over, the n-th time with n. */
export type Writer = (api: Transport, n: number) => Promise<void>;

/** Lets a team see itself. */
function teamRule(team: string, protocol: PolicyProtocol, ports: readonly number[]): PolicyRule {
  const members = [create(PolicyTargetSchema, { target: { case: "tag", value: `team=${team}` } })];
  return create(PolicyRuleSchema, {
    name: team,
    action: PolicyAction.ALLOW,
    protocol,
    ports: ports.map((first) => ({ first })),
    sources: members,
    destinations: members,
  });
}

/** The rule of the blue team has a port, which tells the documents apart; that of the red one stays. */
function policyOf(n: number): { port: number; rules: PolicyRule[] } {
  const port = 1 + (n % 65_535);
  return { port, rules: [teamRule("red", PolicyProtocol.ICMP, []), teamRule("blue", PolicyProtocol.TCP, [port])] };
}

/** Writes the policy of the cvlan. */
export function policyWriter(ledger: Ledger, { tenantId, cvlanId }: SiteTenant): Writer {
  ledger.hold("policy", "none");
  return async (api, n) => {
    const { port, rules } = policyOf(n);
    await ledger.write("ApplyPolicy", "policy", String(port), () =>
      createClient(PolicyService, api).applyPolicy({ tenantId, cvlanId, document: { rules } }),
    );
  };
}

/** Renames a node, moves it from team to team and gives it another route, in one write. */
export function nodeWriter(ledger: Ledger, { tenantId }: SiteTenant, nodeId: string, index: number): Writer {
  ledger.hold(nodeId, "none");
  return async (api, n) => {
    const tags = { team: n % 2 === 0 ? "red" : "blue", round: String(n) };
    const routes = { routes: [{ prefix: `10.${200 + index}.${n % 256}.0/24` }] };
    await ledger.write("UpdateNode", nodeId, String(n), () =>
      createClient(NodeService, api).updateNode({ tenantId, nodeId, name: `n${index}-${n}`, tags: { tags }, routes }),
    );
  };
}

/** Makes groups and deletes every other one. */
export function groupWriter(ledger: Ledger, { tenantId, cvlanId }: SiteTenant, index: number): Writer {
  return async (api, n) => {
    const groups = createClient(GroupService, api);
    const name = `g${index}-${n}`;
    ledger.hold(name, "gone");
    const made = await ledger.write("CreateGroup", name, "there", () =>
      groups.createGroup({ tenantId, cvlanId, name }),
    );
    const groupId = made?.group?.id;
    if (n % 2 === 0 || groupId === undefined) return;
    await ledger.write("DeleteGroup", name, "gone", () =>
      groups.deleteGroup({ tenantId, groupId }).catch((error: unknown) => {
        // The client repeats a deletion whose answer was lost.
        if (ConnectError.from(error).code !== Code.NotFound) throw error;
      }),
    );
  };
}

/** Lets a node in and out of a group. */
export function memberWriter(ledger: Ledger, { tenantId }: SiteTenant, groupId: string, nodeId: string): Writer {
  const object = `${nodeId} in ${groupId}`;
  ledger.hold(object, "out");
  return async (api, n) => {
    const groups = createClient(GroupService, api);
    if (n % 2 === 0) {
      await ledger.write("AddGroupMember", object, "in", () => groups.addGroupMember({ tenantId, groupId, nodeId }));
    } else {
      await ledger.write("RemoveGroupMember", object, "out", () =>
        groups.removeGroupMember({ tenantId, groupId, nodeId }),
      );
    }
  };
}

/** Makes join tokens and revokes every other one. */
export function tokenWriter(ledger: Ledger, { tenantId, cvlanId }: SiteTenant): Writer {
  return async (api, n) => {
    const enrollment = createClient(EnrollmentService, api);
    const made = await ledger.write("CreateJoinToken", undefined, "unused", () =>
      enrollment.createJoinToken({ tenantId, cvlanId }),
    );
    const tokenId = made?.token?.id;
    if (tokenId === undefined) return;
    ledger.hold(tokenId, "unused");
    if (n % 2 === 0) return;
    await ledger.write("RevokeJoinToken", tokenId, "revoked", () => enrollment.revokeJoinToken({ tenantId, tokenId }));
  };
}
