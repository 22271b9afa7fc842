import { createHash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  type NodeRecord,
  NodeRecordSchema,
  type RuleRecord,
  RuleRecordSchema,
  type RuleSelector,
  RuleSelectorSchema,
  SignedSchema,
} from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { PolicyAction, PolicyProtocol } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { parsePrefix, type Prefix } from "@cloudvlan/kit/net";
import { nodeEntry, type NodeEntry, ruleEntry, type RuleEntry } from "../domain/entry.ts";

/** Records without a signature: who may see whom does not depend on it. */

export function prefix(cidr: string): Prefix {
  const parsed = parsePrefix(cidr);
  if (!parsed) throw new Error(`${cidr} is no prefix`);
  return parsed;
}

/** 16 bytes for the name of a tag or group. */
export function selectorId(name: string): Uint8Array {
  return Uint8Array.from(createHash("sha256").update(name).digest().subarray(0, 16));
}

export function any(): RuleSelector {
  return create(RuleSelectorSchema, { selector: { case: "any", value: true } });
}

export function tagged(name: string): RuleSelector {
  return create(RuleSelectorSchema, { selector: { case: "selectorId", value: selectorId(name) } });
}

export function theNode(nodeId: string): RuleSelector {
  return create(RuleSelectorSchema, { selector: { case: "nodeId", value: nodeId } });
}

export function within(cidr: string): RuleSelector {
  return create(RuleSelectorSchema, { selector: { case: "prefix", value: prefix(cidr) } });
}

export function nodeRecord(init: {
  nodeId: string;
  addresses: string[];
  tags?: string[];
  routes?: string[];
  revision?: bigint;
  tenantId?: string;
  cvlanId?: string;
}): NodeRecord {
  return create(NodeRecordSchema, {
    tenantId: init.tenantId ?? "tenant",
    cvlanId: init.cvlanId ?? "cvlan",
    nodeId: init.nodeId,
    recordRevision: init.revision ?? 1n,
    name: init.nodeId,
    addresses: init.addresses.map(prefix),
    selectors: (init.tags ?? []).map(selectorId).toSorted((a, b) => Buffer.compare(a, b)),
    routes: (init.routes ?? []).map(prefix),
  });
}

export interface RuleInit {
  name: string;
  deny?: boolean;
  sources: RuleSelector[];
  destinations: RuleSelector[];
  protocol?: PolicyProtocol;
  ports?: { first: number; last: number }[];
  version?: bigint;
  tenantId?: string;
  cvlanId?: string;
}

export function ruleRecord(init: RuleInit): RuleRecord {
  return create(RuleRecordSchema, {
    tenantId: init.tenantId ?? "tenant",
    cvlanId: init.cvlanId ?? "cvlan",
    ruleId: selectorId(`rule ${init.name}`),
    policyVersion: init.version ?? 1n,
    name: init.name,
    action: init.deny ? PolicyAction.DENY : PolicyAction.ALLOW,
    sources: init.sources,
    destinations: init.destinations,
    protocol: init.protocol ?? PolicyProtocol.ANY,
    ports: init.ports ?? [],
  });
}

export function unsignedNode(record: NodeRecord): NodeEntry {
  const payload = toBinary(NodeRecordSchema, record);
  return nodeEntry(payload, toBinary(SignedSchema, create(SignedSchema, { payload })));
}

export function unsignedRule(record: RuleRecord): RuleEntry {
  const payload = toBinary(RuleRecordSchema, record);
  return ruleEntry(payload, toBinary(SignedSchema, create(SignedSchema, { payload })));
}
