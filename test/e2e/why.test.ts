import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Hop } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import {
  PolicyAction,
  PolicyDocumentSchema,
  PolicyProtocol,
  type PolicyRuleSchema,
  type PolicyTargetSchema,
} from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { DiagnosisService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { GroupService, NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { type SiteNode, siteNode } from "@cloudvlan/infra/site/node";
import { type Programs, programsOf } from "@cloudvlan/infra/start/programs";
import type { Connection } from "@cloudvlan/kit/client";
import { createLab, type Lab, must, run } from "@cloudvlan/test/lab";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { startSiteControlPlane, type SiteControlPlane } from "./site/control-plane.ts";
import { siteFolder } from "./site/folder.ts";
import { hostsNetwork } from "./site/hosts.ts";
import { anyone, byName, until } from "./site/index.ts";
import { NODE_REVOKED } from "./site/loud.ts";
import { createSiteTenant, type SiteTenant } from "./site/tenant.ts";
import { generator } from "./site/random.ts";
import { type Prober, startProber } from "./site/prober.ts";

const ONE = ["web", "db", "app", "gate", "old", "dark", "gone"] as const;
const TWO = ["spy", "box"] as const;
const HOSTS = [...ONE, ...TWO];
type Name = (typeof HOSTS)[number];

const CASES = 1_000;
const SAMPLES = 30;
const PORTS = [5_000, 5_001, 5_002, 5_003, 6_000, 6_001];
const [ICMP, TCP, UDP] = [1, 6, 17];

type Target = MessageInitShape<typeof PolicyTargetSchema>;
const cidr = (value: string): Target => ({ target: { case: "cidr", value } });
const prod: Target = { target: { case: "tag", value: "env=prod" } };
const admins: Target = { target: { case: "group", value: "admins" } };

function rule(
  name: string,
  action: PolicyAction,
  protocol: PolicyProtocol,
  from: Target,
  to: Target,
  ...ports: readonly number[]
): MessageInitShape<typeof PolicyRuleSchema> {
  return { name, action, protocol, sources: [from], destinations: [to], ports: ports.map((first) => ({ first })) };
}

const { ALLOW, DENY } = PolicyAction;
const RULES = [
  rule("ping", ALLOW, PolicyProtocol.ICMP, anyone, anyone),
  rule("prod-tcp", ALLOW, PolicyProtocol.TCP, prod, anyone, 5_000, 5_001, 5_003),
  rule("admins-udp", ALLOW, PolicyProtocol.UDP, admins, prod, 6_000, 6_001),
  rule("no-db", DENY, PolicyProtocol.TCP, anyone, byName("db"), 5_003),
  rule("net", ALLOW, PolicyProtocol.TCP, byName("web"), cidr("10.20.0.0/24"), 5_000, 5_001),
  rule("net-udp", ALLOW, PolicyProtocol.UDP, byName("app"), cidr("10.20.0.0/24")),
  rule("no-net", DENY, PolicyProtocol.UDP, byName("app"), cidr("10.20.0.7/32"), 6_001),
  rule("from-dark", ALLOW, PolicyProtocol.ANY, byName("dark"), prod),
  rule("old", ALLOW, PolicyProtocol.UDP, byName("old"), anyone),
  rule("to-old", ALLOW, PolicyProtocol.UDP, anyone, byName("old"), 6_000),
];
const LINES = RULES.map((_, index) => 2 + index * 7);

/** Whence and whither; `to` is an address, or the name of a node. */
interface Case {
  readonly id: number;
  readonly from: Name;
  readonly to: string;
  readonly protocol: number;
  readonly port: number;
}

interface Verdict {
  readonly forwarded: boolean;
  readonly hops: readonly Hop[];
  readonly source: string;
  readonly destination: string;
}

/** What a verdict is an example of. */
function kindOf({ to }: Case, { forwarded, hops }: Verdict, foreign: ReadonlySet<string>): string {
  if (forwarded) return "allowed";
  if (foreign.has(to)) return "other tenant";
  const blocked = (name: string) => hops.find((hop) => hop.name === name && !hop.ok);
  if ((blocked("source") ?? blocked("destination"))?.detail.includes("was revoked")) return "revoked";
  if ((blocked("source_filter") ?? blocked("destination_filter"))?.detail.includes("past its time")) return "stale";
  if (blocked("path")?.detail.includes("is offline")) return "offline";
  if (blocked("destination") ?? (blocked("route") && !blocked("map"))) return "no route";
  return blocked("rule")?.ruleName === "" ? "no rule" : "denied";
}

describe("cvlan why", function () {
  this.timeout(600_000);
  const seed = Number(process.env["CLOUDVLAN_SEED"] ?? randomInt(2 ** 31));
  const cleanup = new AsyncDisposableStack();
  const machines = new Map<Name, SiteNode>();
  const probers = new Map<Name, Prober>();
  let programs: Programs;
  let lab: Lab;
  let control: SiteControlPlane;
  let api: Connection;
  let folder: string;
  let one: SiteTenant;
  let two: SiteTenant;
  let diagnosis: Client<typeof DiagnosisService>;
  /** Every overlay address by who has it. */
  const addresses = new Map<Name, { readonly v4: string; readonly v6: string }>();

  const machine = (name: Name): SiteNode => machines.get(name) ?? assert.fail(name);
  const addressOf = (name: Name) => addresses.get(name) ?? assert.fail(name);
  const tenantOf = (name: Name): SiteTenant => ((TWO as readonly string[]).includes(name) ? two : one);

  async function judge(cases: readonly Case[]): Promise<Map<number, Verdict>> {
    const verdicts = new Map<number, Verdict>();
    for (const [, group] of Map.groupBy(cases, ({ from, to }) => `${from} ${to}`)) {
      const [{ from, to }] = group as [Case];
      const { tenantId, cvlanId } = tenantOf(from);
      const source = to.includes(":") ? addressOf(from).v6 : from;
      const request = { tenantId, cvlanId, source, destination: to, probes: group.map(probeOf) };
      const answer = await diagnosis.why(request);
      const ends = { source: answer.sourceAddress, destination: answer.destinationAddress };
      for (const [index, { id }] of group.entries()) {
        const { forwarded, hops } = answer.answers[index] ?? assert.fail("an answer a probe");
        verdicts.set(id, { forwarded, hops, ...ends });
      }
    }
    return verdicts;
  }

  const probeOf = ({ protocol, port }: Case) => ({ protocol: protocol === ICMP ? 0 : protocol, port });

  before(async () => {
    programs = programsOf(process.env, process.execPath);
    ({ path: folder } = cleanup.use(await siteFolder("cv-why-", { provokes: NODE_REVOKED })));
    const network = hostsNetwork(73, HOSTS);
    lab = cleanup.use(await createLab(network.topology, { captureProgram: programs.lab }));
    const services = {
      registry: { settings: { stale_policy: "no_new_flows", map_ttl_seconds: 60 } },
      netmap: { head_seconds: 4 },
    };
    control = cleanup.use(
      await startSiteControlPlane(folder, network.controlAddress, { store: "pglite", workers: 1, services }, programs),
    );
    api = await control.connect();
    cleanup.defer(() => api.close());
    diagnosis = createClient(DiagnosisService, api);
    [one, two] = [await createSiteTenant(api, "one"), await createSiteTenant(api, "two")];
    for (const name of HOSTS) machines.set(name, cleanup.use(await siteNode(lab, name, folder, programs, {})));
    await Promise.all([...machines.values()].map((node) => node.startAgent()));
    for (const name of HOSTS) await machine(name).join(await tenantOf(name).newJoinString());

    const nodes = createClient(NodeService, api);
    const update = async (name: Name, prefix: string): Promise<void> => {
      const nodeId = await tenantOf(name).nodeId(name);
      await nodes.updateNode({ tenantId: tenantOf(name).tenantId, nodeId, routes: { routes: [{ prefix }] } });
    };
    await update("gate", "10.20.0.0/24");
    await update("box", "10.30.0.0/24");
    for (const name of ["web", "db", "dark"] as const) {
      const nodeId = await one.nodeId(name);
      await nodes.updateNode({ tenantId: one.tenantId, nodeId, tags: { tags: { env: "prod" } } });
    }
    const groups = createClient(GroupService, api);
    const { group } = await groups.createGroup({ tenantId: one.tenantId, cvlanId: one.cvlanId, name: "admins" });
    const member = { tenantId: one.tenantId, groupId: group?.id ?? "", nodeId: await one.nodeId("app") };
    await groups.addGroupMember(member);
    await createClient(PolicyService, api).applyPolicy({
      tenantId: one.tenantId,
      cvlanId: one.cvlanId,
      document: create(PolicyDocumentSchema, { rules: RULES }),
      source: { file: "policies/one.yaml", ruleLines: LINES },
    });
    await two.apply(rule("all", ALLOW, PolicyProtocol.ANY, anyone, anyone));

    for (const name of HOSTS) {
      const [v4 = "", v6 = ""] = await until(`${name} has two addresses`, async () => {
        const { nodes: all } = await nodes.listNodes({ ...placeOf(tenantOf(name)), name });
        const found = all[0]?.addresses ?? [];
        const own = (await machine(name).status())?.engine?.addresses ?? [];
        return own.length === 2 && found.length === 2 && found;
      });
      addresses.set(name, { v4, v6 });
    }
    for (const [name, ...behind] of [
      ["gate", "10.20.0.5", "10.20.0.7"],
      ["box", "10.30.0.5"],
    ] as const)
      for (const address of behind) await must(lab.argvOn(name, ["ip", "addr", "add", `${address}/32`, "dev", "lo"]));
    for (const name of HOSTS) {
      const prober = await startProber(lab.argvOn(name, []), PORTS);
      probers.set(name, prober);
      cleanup.use(prober);
    }
    await settled();

    await one.revoke("gone");
    await machine("dark").agent.end("SIGKILL");
    await machine("dark").killEngine();
    // Its engine goes on with the map that it has.
    await machine("old").agent.end("SIGKILL");
    await until("nobody knows the revoked one", async () => (await machine("web").peer("gone")) === undefined);
    await settled();
  });
  after(() => cleanup.disposeAsync());

  /** Waits until every machine that is heard of stands where the controller stands. */
  async function settled(): Promise<void> {
    for (const name of ["web", "db", "app", "gate", "spy", "box"] as const) {
      const request = { ...placeOf(tenantOf(name)), source: name, destination: "192.0.2.1", probes: [{ protocol: 0 }] };
      const { revision } = await diagnosis.why(request);
      await until(`${name} is at revision ${revision}`, async () => {
        return ((await machine(name).status())?.engine?.map?.revision ?? 0n) >= revision;
      });
    }
  }

  const placeOf = ({ tenantId, cvlanId }: SiteTenant) => ({ tenantId, cvlanId });

  it("names file and line of the rule, whoever else may not, and nothing of another tenant", async () => {
    const ask = (destination: string, source = "web") =>
      diagnosis.why({ ...placeOf(one), source, destination, probes: [{ protocol: TCP, port: 5_003 }] });
    const { answers } = await ask("db");
    const denied = answers[0]?.hops.find(({ name }) => name === "rule");
    assert.deepEqual([denied?.ok, denied?.ruleName], [false, "no-db"]);
    assert.deepEqual([denied?.policyFile, denied?.policyLine], ["policies/one.yaml", LINES[3]]);

    const refusal = async (destination: string): Promise<string> => {
      const error = await ask(destination).then(
        () => assert.fail(`${destination} was answered`),
        (caught: unknown) => caught,
      );
      assert(error instanceof ConnectError && error.code === Code.NotFound);
      return JSON.stringify([error.rawMessage, error.details]);
    };
    const unknown = await refusal("nobody");
    assert.equal(await refusal("spy"), unknown);
    assert.equal(await refusal(await two.nodeId("spy")), unknown);
    assert.equal(await refusal("node_01890000-0000-7000-8000-000000000000"), unknown);
    const gone = await ask("gone");
    assert.match(gone.answers[0]?.hops.at(-1)?.detail ?? "", /^gone was revoked at 20/);
  });

  it(`is what the command says, ${SAMPLES} times`, async () => {
    const random = generator(seed + 1);
    const pick = <T>(items: readonly T[]): T => items[random(items.length)] ?? assert.fail("nothing to pick");
    const cases = Array.from({ length: SAMPLES }, (_, id): Case => {
      const from = pick(["web", "db", "app"] as const);
      const to = pick(["gate", "dark", "gone", "10.20.0.5", "10.99.0.1", ...(from === "web" ? ["db"] : ["web"])]);
      return { id, from, to: to === from ? "gate" : to, protocol: pick([TCP, UDP]), port: pick(PORTS) };
    });
    const verdicts = await judge(cases);
    const way = ["--controller", control.url, "--ca-sha256", control.caSha256];
    const as = ["--key-file", join(folder, "platform-owner.key"), "--tenant", "one", "--cvlan", "main"];
    const queue = [...cases];
    const workers = Array.from({ length: 3 }, async () => {
      for (let each = queue.pop(); each; each = queue.pop()) {
        const protocol = each.protocol === TCP ? "tcp" : "udp";
        const question = ["why", each.from, `${each.to}:${each.port}`, "--protocol", protocol, "--json"];
        const { code, stdout } = await run([programs.node, programs.cli, ...way, ...as, ...question]);
        const said = JSON.parse(stdout) as {
          forwarded: boolean;
          controller: { answers: { hops: { name: string }[] }[] };
        };
        const verdict = verdicts.get(each.id) ?? assert.fail();
        assert.equal(said.forwarded, verdict.forwarded);
        assert.equal(code, said.forwarded ? 0 : 1);
        assert.deepEqual(
          said.controller.answers[0]?.hops.map(({ name }) => name),
          verdict.hops.map(({ name }) => name),
        );
      }
    });
    await Promise.all(workers);
  });

  it(`equals what packets do in ${CASES} cases (CLOUDVLAN_SEED=${seed})`, async () => {
    const random = generator(seed);
    const pick = <T>(items: readonly T[]): T => items[random(items.length)] ?? assert.fail("nothing to pick");
    const foreign = new Set(["10.30.0.5", addressOf("spy").v6, addressOf("box").v6]);
    const own = (names: readonly Name[]) => names.flatMap((name) => Object.values(addressOf(name)));
    const destinations = [
      ...own(["web", "db", "app", "gate", "old", "dark", "gone"]),
      "10.20.0.5",
      "10.20.0.7",
      "10.99.0.1",
      "gone",
      ...foreign,
    ];
    const cases = Array.from({ length: CASES }, (_, id): Case => {
      for (;;) {
        const from = pick(
          random(8) === 0 ? (["spy", "box"] as const) : (["web", "db", "app", "gate", "old", "dark"] as const),
        );
        const to = tenantOf(from) === two ? pick([...own(TWO), "10.30.0.5"]) : pick(destinations);
        const protocol = pick([TCP, TCP, UDP, UDP, ICMP]);
        const itself = Object.values(addressOf(from)).includes(to) || (from === "gate" && to.startsWith("10.20."));
        if (itself || (from === "box" && to === "10.30.0.5")) continue;
        return { id, from, to, protocol, port: protocol === ICMP ? 0 : pick(PORTS) };
      }
    });
    const staleCase = { id: -1, from: "web", to: "old", protocol: UDP, port: 6_000 } as const;
    await until(
      "the map of the one that is not heard of ran out",
      async () => kindOf(staleCase, (await judge([staleCase])).get(-1) ?? assert.fail(), foreign) === "stale",
      300_000,
    );

    const verdicts = await judge(cases);
    const arrived = new Map<number, Name>();
    await Promise.all([
      ...HOSTS.map(async (name) => {
        const mine = cases.filter(({ from, to, protocol }) => from === name && protocol !== ICMP && to !== "gone");
        const sent = mine.map(({ to, ...probe }) => {
          const { v4, v6 } = addressOf(name);
          return { ...probe, source: to.includes(":") ? v6 : v4, destination: to };
        });
        await (probers.get(name) ?? assert.fail()).send(sent);
      }),
      ...HOSTS.map(async (name) => {
        for (const { id, to } of cases.filter(({ from, protocol }) => from === name && protocol === ICMP)) {
          if (to !== "gone" && (await machine(name).ping(to, 2, 700)) > 0) arrived.set(id, name);
        }
      }),
    ]);
    for (const [name, prober] of probers) for (const id of prober.arrived()) arrived.set(id, name);

    const kinds = new Map<string, number>();
    const wrong: object[] = [];
    for (const each of cases) {
      const verdict = verdicts.get(each.id) ?? assert.fail();
      const kind = kindOf(each, verdict, foreign);
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      if (verdict.forwarded !== arrived.has(each.id)) {
        wrong.push({
          ...each,
          kind,
          forwarded: verdict.forwarded,
          hops: verdict.hops.map(({ name, ok, detail }) => [name, ok, detail]),
        });
      }
    }
    assert.deepEqual(wrong, [], `seed ${seed}`);
    for (const kind of ["allowed", "denied", "no rule", "no route", "offline", "revoked", "stale", "other tenant"]) {
      assert((kinds.get(kind) ?? 0) > 0, `no case of ${kind} among ${JSON.stringify([...kinds])}`);
    }
  });

  it("shows on the machine what its engine holds, to the last handshake", async () => {
    await until("web pings db", async () => (await machine("web").ping("db")) > 0);
    const out = await machine("web").cvlan(["why", "db:5001"]);
    assert.match(out, /path +ok +session established with 10\.73\.\d+\.2:\d+\n/);
    assert.match(out, /last handshake with db: \d+ s ago with 10\.73\./);
  });
});
