import assert from "node:assert/strict";
import { PolicyProtocol } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { UsageError } from "../exit.ts";
import { parsePolicy } from "../policy-file.ts";

const GOOD = `rules:
  - name: web
    action: POLICY_ACTION_ALLOW
    sources: [{ tag: env=prod }, { node: web1 }]
    destinations:
      - cidr: 10.0.0.0/8
    protocol: POLICY_PROTOCOL_TCP
    ports: [{ first: 80, last: 81 }]
`;

describe("a policy file", () => {
  const refused = (text: string, ...expected: RegExp[]) =>
    assert.throws(
      () => parsePolicy("p.yaml", text),
      (error) => {
        assert.ok(error instanceof UsageError);
        for (const pattern of expected) assert.match(error.message, pattern);
        return true;
      },
    );

  it("is read as YAML and as JSON, with proto or JSON names", () => {
    const { document } = parsePolicy("p.yaml", GOOD);
    assert.equal(document.rules[0]?.protocol, PolicyProtocol.TCP);
    const json =
      '{"rules":[{"name":"a","action":"POLICY_ACTION_DENY","sources":[{"any":true}],"destinations":[{"any":true}],"protocol":1}]}';
    assert.equal(parsePolicy("p.json", json).document.rules[0]?.protocol, PolicyProtocol.ANY);
    assert.equal(parsePolicy("p.yaml", "").document.rules.length, 0);
  });

  it("locates a field of the proto in the file", () => {
    const file = parsePolicy("p.yaml", GOOD);
    assert.equal(file.locate("rules[0].sources[1].node"), "p.yaml:4:36");
    assert.equal(file.locate("rules[0].destinations[0].cidr"), "p.yaml:6:9");
    assert.equal(file.locate("rules[0].ports[0].last.more"), "p.yaml:8:26");
    assert.equal(file.locate("rules[0].tunnel"), "p.yaml:2:5");
    assert.equal(file.locate("elsewhere"), "p.yaml:1:1");
  });

  it("says on which line each rule begins", () => {
    const second = GOOD.replace("rules:\n", "").replace("name: web", "name: db");
    assert.deepEqual(parsePolicy("p.yaml", `# header\n${GOOD}\n${second}`).ruleLines, [3, 11]);
  });

  it("is refused with file, line and column for each fault", () => {
    refused("rules: [", /^p\.yaml:1:\d+: /);
    refused(GOOD.replace("ports:", "portz:"), /^p\.yaml:8:5: unknown field "portz"; known are name, action/);
    refused(GOOD.replace("{ node: web1 }", "{ nod: web1 }"), /p\.yaml:4:36: unknown field "nod"/);
    refused(
      GOOD.replace("POLICY_PROTOCOL_TCP", "TCP"),
      /p\.yaml:7:15: .*cannot hold "TCP"; one of POLICY_PROTOCOL_ANY/,
    );
    refused(GOOD.replace("80,", "eighty,"), /p\.yaml:8:22: .*cannot hold "eighty"/);
    refused(GOOD.replace("80,", "800000,"), /p\.yaml:8:15: rules\[0\]\.ports\[0\]\.first/);
    refused(GOOD.replace("    protocol: POLICY_PROTOCOL_TCP\n", ""), /p\.yaml:2:5: rules\[0\]\.protocol/);
    refused(`${GOOD}rules: []\n`, /p\.yaml:9:1: /);
    refused("- 1\n", /p\.yaml:1:1: the document must be a map/);
    refused("rules: { a: 1 }\n", /p\.yaml:1:8: rules must be a list/);
    refused(GOOD.replace("tag: env=prod", "tag: env=prod, any: true"), /p\.yaml:4:32: any cannot stand beside tag/);
    refused("a: &a [1]\nrules: *a\n", /unknown field "a"/);
  });
});
