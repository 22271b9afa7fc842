import assert from "node:assert/strict";
import type { DescMethod } from "@bufbuild/protobuf";
import { pathOf } from "@cloudvlan/kit/access";
import { castOf, type Role } from "./cast.ts";
import { bufCurlClient } from "./clients/buf-curl.ts";
import { type ForeignClient, through } from "./clients/foreign.ts";
import { grpcJsClient } from "./clients/grpc-js.ts";
import { lineClient } from "./clients/lines.ts";
import { type Installation, newInstallation } from "./installation.ts";
import { outcomeOf } from "./outcome.ts";
import { verdictOf } from "./roles.ts";
import { type Ground, METHODS, sampleOf } from "./samples.ts";
import { newSide } from "./world.ts";

const VIA = "over TCP and mTLS";
const [GO, PYTHON] = [process.env.CLOUDVLAN_GO_CLIENT, process.env.CLOUDVLAN_PYTHON];
const folder = (path: string): string => new URL(path, import.meta.url).pathname;

function required(value: string | undefined, name: string): string {
  if (value === undefined) throw new Error(`${name} is not set; \`npm test\` builds the clients and sets it`);
  return value;
}

interface Client {
  readonly name: string;
  /** Roles that try what they may not, by name; undefined for all. */
  readonly refused: readonly string[] | undefined;
  readonly start: () => ForeignClient;
}

const CLIENTS: readonly Client[] = [
  { name: "@grpc/grpc-js", refused: undefined, start: grpcJsClient },
  // A process a call: two roles say as much about the client as twenty.
  { name: "buf curl", refused: ["nobody", "another tenant's admin"], start: bufCurlClient },
  {
    name: "the generated Go client",
    refused: undefined,
    start: () => lineClient("Go client", [required(GO, "CLOUDVLAN_GO_CLIENT")]),
  },
  {
    name: "the generated Python client",
    refused: undefined,
    start: () => {
      const env = { PYTHONPATH: folder("../../gen/python/src") };
      const argv = [required(PYTHON, "CLOUDVLAN_PYTHON"), "-B", folder("clients/python/client.py")];
      return lineClient("Python client", argv, env);
    },
  },
];

describe("clients that are not ours", function () {
  this.timeout(180_000);
  let installation: Installation;
  let ground: Ground;
  let sides: Parameters<typeof castOf>[2];
  let members: Parameters<typeof castOf>[3];

  before(async () => {
    installation = await newInstallation({
      kind: "postgres",
      config: { services: { netmap: { head_seconds: 0.5, reports_per_minute: 600 } } },
    });
    sides = [await newSide(installation, "alice"), await newSide(installation, "bob")];
    const [a, b] = sides;
    members = { ofA: await a.newMember(), ofB: await b.newMember(), revoked: await a.newMember() };
    await a.revoke(members.revoked);
    ground = { installation, side: a, member: members.ofA, group: await a.newGroup() };
  });
  after(() => installation?.close());

  for (const { name, refused, start } of CLIENTS) {
    describe(name, () => {
      let client: ForeignClient;
      let roles: Role[];
      before(async () => {
        client = start();
        roles = await castOf(through(client, installation), VIA, sides, members);
      });
      after(() => client?.close());

      async function check(role: Role, method: DescMethod): Promise<void> {
        const request = await sampleOf(method)(ground);
        const tenantId: unknown = Reflect.get(request, "tenantId");
        const expected = verdictOf(role.subject, method, VIA, typeof tenantId === "string" ? tenantId : undefined);
        const outcome = await outcomeOf(role.transport, method, request);
        const told = outcome && { code: outcome.code, reason: outcome.reason };
        assert.deepEqual(told, expected, `${role.name}: ${JSON.stringify(outcome ?? "let through")}`);
      }

      for (const method of METHODS) {
        it(pathOf(method), async () => {
          const request = await sampleOf(method)(ground);
          const tenantId: unknown = Reflect.get(request, "tenantId");
          const scope = typeof tenantId === "string" ? tenantId : undefined;
          const isLet = ({ subject }: Role) => verdictOf(subject, method, VIA, scope) === undefined;
          const control = roles.find(isLet);
          assert.ok(control, "nobody may call it");
          const others = roles.filter((role) => !isLet(role) && (refused?.includes(role.name) ?? true));
          for (const role of [control, ...others]) await check(role, method);
        });
      }
    });
  }
});
