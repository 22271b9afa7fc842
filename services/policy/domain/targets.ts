import { create } from "@bufbuild/protobuf";
import { type RuleSelector, RuleSelectorSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { PolicyDocument, PolicyTarget } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { requirePrefix } from "./cidr.ts";

/** What registry takes in one call. */
export const MAX_TARGETS = 20_000;

/** A target that only registry can resolve, with the path of the first field that names it. */
export interface NamedTarget {
  readonly target: PolicyTarget;
  readonly field: string;
}

/** Selector of each target, by `targetKey`. */
export type Selectors = ReadonlyMap<string, RuleSelector>;

/** The same for targets that mean the same. */
export function targetKey({ target }: PolicyTarget): string {
  return target.case === undefined ? "" : `${target.case}:${target.value}`;
}

/**
 * The names a document uses, each once.
 * @throws Refusal `invalid` when there are more than registry resolves in one call.
 */
export function namedTargets(document: PolicyDocument): NamedTarget[] {
  const found = new Map<string, NamedTarget>();
  for (const [rule, { sources, destinations }] of document.rules.entries()) {
    for (const [side, targets] of [
      ["sources", sources],
      ["destinations", destinations],
    ] as const) {
      for (const [position, target] of targets.entries()) {
        const kind = target.target.case;
        if (kind !== "group" && kind !== "tag" && kind !== "node") continue;
        const key = targetKey(target);
        if (found.has(key)) continue;
        found.set(key, { target, field: `document.rules[${rule}].${side}[${position}].${kind}` });
      }
    }
  }
  if (found.size > MAX_TARGETS) {
    throw new Refusal(
      "invalid",
      "TOO_MANY_TARGETS",
      `the document names ${found.size} groups, tags and nodes; ${MAX_TARGETS} is the limit`,
      {
        field: "document.rules",
        remedy: "use groups or tags instead of single nodes",
      },
    );
  }
  return [...found.values()];
}

/**
 * Pairs names with what registry made of them.
 * @param resolved in the order of `named`; undefined where nothing has that name.
 * @throws Refusal `invalid` naming the first target that does not exist; Error when registry answers beside the question.
 */
export function pairTargets(named: readonly NamedTarget[], resolved: readonly (RuleSelector | undefined)[]): Selectors {
  if (resolved.length !== named.length) {
    throw new Error(`registry resolved ${resolved.length} of ${named.length} targets`);
  }
  const selectors = new Map<string, RuleSelector>();
  for (const [position, { target, field }] of named.entries()) {
    const selector = resolved[position];
    const { case: kind, value } = target.target;
    if (!selector || selector.selector.case === undefined) {
      throw new Refusal("invalid", "TARGET_UNKNOWN", `there is no ${kind} ${value} in this cvlan`, {
        field,
        remedy: remedies[kind === "group" || kind === "tag" ? kind : "node"],
      });
    }
    if (!answers(target, selector)) throw new Error(`registry resolved a ${kind} to a ${selector.selector.case}`);
    selectors.set(targetKey(target), selector);
  }
  return selectors;
}

const remedies = {
  group: "create the group first, or correct its name",
  tag: "give the tag to a node or a join token first, or correct it",
  node: "let the node join first, or correct its name",
};

function answers({ target }: PolicyTarget, { selector }: RuleSelector): boolean {
  if (target.case === "node") return selector.case === "nodeId";
  return selector.case === "selectorId" && selector.value.length === 16;
}

/** The selector of a target: its own when it says everything itself, else what registry made of its name. */
export function selectorOf(target: PolicyTarget, selectors: Selectors, field: string): RuleSelector {
  switch (target.target.case) {
    case "any":
      return create(RuleSelectorSchema, { selector: { case: "any", value: true } });
    case "cidr":
      return create(RuleSelectorSchema, {
        selector: { case: "prefix", value: requirePrefix(target.target.value, field) },
      });
    default: {
      const selector = selectors.get(targetKey(target));
      if (!selector) throw new Error(`${field} was not resolved`);
      return selector;
    }
  }
}
