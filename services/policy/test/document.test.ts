import assert from "node:assert/strict";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { PolicyDocumentSchema } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { checkDocument } from "../domain/document.ts";
import { MAX_TARGETS, namedTargets } from "../domain/targets.ts";

const rule = (more: Record<string, JsonValue> = {}) => ({
  name: "web",
  action: "POLICY_ACTION_ALLOW",
  sources: [{ group: "clients" }],
  destinations: [{ cidr: "10.1.0.0/16" }],
  protocol: "POLICY_PROTOCOL_TCP",
  ports: [{ first: 80, last: 90 }],
  ...more,
});
const document = (...rules: Record<string, JsonValue>[]) => fromJson(PolicyDocumentSchema, { rules });

describe("a policy document", () => {
  it("is accepted as it is meant", () => {
    checkDocument(
      document(
        rule(),
        rule({ name: "one-port", ports: [{ first: 80 }] }),
        rule({ name: "ping", protocol: "POLICY_PROTOCOL_ICMP", ports: [] }),
        rule({ name: "v6", destinations: [{ cidr: "fd00:1::/64" }, { cidr: "0.0.0.0/0" }, { cidr: "10.1.2.3/32" }] }),
      ),
    );
  });

  const refused: [string, string, Record<string, JsonValue>[]][] = [
    ["RULE_NAME_TAKEN", "document.rules[1].name", [rule(), rule()]],
    ["PORTS_WITHOUT_PROTOCOL", "document.rules[0].ports", [rule({ protocol: "POLICY_PROTOCOL_ANY" })]],
    ["PORTS_WITHOUT_PROTOCOL", "document.rules[0].ports", [rule({ protocol: "POLICY_PROTOCOL_ICMP" })]],
    [
      "PORT_RANGE_REVERSED",
      "document.rules[0].ports[1].last",
      [rule({ ports: [{ first: 1 }, { first: 90, last: 80 }] })],
    ],
    ["PREFIX_HOST_BITS", "document.rules[0].destinations[0].cidr", [rule({ destinations: [{ cidr: "10.1.2.3/16" }] })]],
    [
      "PREFIX_HOST_BITS",
      "document.rules[0].sources[1].cidr",
      [rule({ sources: [{ any: true }, { cidr: "fd00::1/127" }] })],
    ],
    ["PREFIX_MALFORMED", "document.rules[0].sources[0].cidr", [rule({ sources: [{ cidr: "10.0.0.0/33" }] })]],
  ];
  for (const [reason, field, rules] of refused) {
    it(`is refused: ${reason} at ${field}`, () => {
      assert.throws(
        () => checkDocument(document(...rules)),
        (error) =>
          error instanceof Refusal &&
          error.reason === reason &&
          error.detail.field === field &&
          error.detail.remedy !== "",
      );
    });
  }

  it("names each target once, with the first place that names it", () => {
    const named = namedTargets(
      document(
        rule(),
        rule({
          name: "b",
          sources: [{ group: "clients" }, { tag: "os=linux" }],
          destinations: [{ node: "db" }, { any: true }],
        }),
      ),
    );
    assert.deepEqual(
      named.map(({ field }) => field),
      [
        "document.rules[0].sources[0].group",
        "document.rules[1].sources[1].tag",
        "document.rules[1].destinations[0].node",
      ],
    );
  });

  it("is refused when it names more than is resolved at once", () => {
    const rules = Array.from({ length: MAX_TARGETS / 200 + 1 }, (_, r) =>
      rule({ name: `r${r}`, sources: Array.from({ length: 200 }, (_, n) => ({ node: `n${r}-${n}` })) }),
    );
    assert.throws(() => namedTargets(document(...rules)), Refusal);
  });
});
