import {
  type PolicyDocument,
  type PolicyRule,
  PolicyProtocol,
  type PolicySource,
} from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { requirePrefix } from "./cidr.ts";

/**
 * Checks what field constraints cannot say: unique names, ports only where the protocol has them, ranges the right way
 * round, prefixes without host bits.
 * @throws Refusal `invalid` naming the first field at fault.
 */
export function checkDocument(document: PolicyDocument): void {
  const seen = new Map<string, number>();
  for (const [position, rule] of document.rules.entries()) {
    const path = `document.rules[${position}]`;
    const former = seen.get(rule.name);
    if (former !== undefined) {
      throw new Refusal(
        "invalid",
        "RULE_NAME_TAKEN",
        `rules[${former}] and rules[${position}] are both named ${rule.name}`,
        {
          field: `${path}.name`,
          remedy: "give each rule a name of its own",
        },
      );
    }
    seen.set(rule.name, position);
    checkPorts(rule, path);
    checkPrefixes(rule, path);
  }
}

function checkPorts(rule: PolicyRule, path: string): void {
  const hasPorts = rule.protocol === PolicyProtocol.TCP || rule.protocol === PolicyProtocol.UDP;
  if (rule.ports.length > 0 && !hasPorts) {
    throw new Refusal("invalid", "PORTS_WITHOUT_PROTOCOL", `rule ${rule.name} has ports, but its protocol has none`, {
      field: `${path}.ports`,
      remedy: "set the protocol to TCP or UDP, or leave the ports out",
    });
  }
  for (const [position, range] of rule.ports.entries()) {
    if (range.last !== 0 && range.last < range.first) {
      throw new Refusal(
        "invalid",
        "PORT_RANGE_REVERSED",
        `rule ${rule.name}: port range ${range.first}-${range.last} is empty`,
        {
          field: `${path}.ports[${position}].last`,
          remedy: "put the smaller port first",
        },
      );
    }
  }
}

function checkPrefixes(rule: PolicyRule, path: string): void {
  for (const side of ["sources", "destinations"] as const) {
    for (const [position, { target }] of rule[side].entries()) {
      if (target.case === "cidr") requirePrefix(target.value, `${path}.${side}[${position}].cidr`);
    }
  }
}

/** @throws Refusal `invalid` when the lines are not those of the document's rules. */
export function checkSource(source: PolicySource | undefined, document: PolicyDocument): void {
  if (!source || source.ruleLines.length === document.rules.length) return;
  throw new Refusal(
    "invalid",
    "SOURCE_LINES_MISMATCH",
    `the source has lines of ${source.ruleLines.length} rules, the document has ${document.rules.length} rules`,
    { field: "source.rule_lines", remedy: "give the line of each rule, or leave the source out" },
  );
}
