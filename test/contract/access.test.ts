import assert from "node:assert/strict";
import { type DescMessage, type DescMethod, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Scope } from "@cloudvlan/gen/options/v1/options_pb.js";
import { accessOf, pathOf } from "@cloudvlan/kit/access";
import { isId, newId } from "@cloudvlan/kit/ids";
import type { Transport } from "@connectrpc/connect";
import { castOf, type Role } from "./cast.ts";
import { type Installation, newInstallation } from "./installation.ts";
import { invoke, outcomeOf, refusedOf } from "./outcome.ts";
import { type Via, verdictOf } from "./roles.ts";
import { type Ground, METHODS, samplePaths, sampleOf } from "./samples.ts";
import { newSide, type Side } from "./world.ts";

type Request = MessageInitShape<DescMessage>;

const VIAS: readonly Via[] = ["in process", "over TCP and mTLS"];

function tenantIdOf(request: Request): string | undefined {
  const value: unknown = Reflect.get(request, "tenantId");
  return typeof value === "string" ? value : undefined;
}

/** The same request with every id but the tenant's replaced by one that nobody ever had. */
function withAbsentIds(request: Request): Request {
  const now = Date.now();
  const absent = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(absent);
    if (typeof value !== "string") return value;
    for (const kind of ["cvlan", "node", "group", "apikey", "jointoken"] as const) {
      if (isId(kind, value)) return newId(kind, now);
    }
    return value;
  };
  return Object.fromEntries(Object.entries(request).map(([name, value]) => [name, absent(value)])) as Request;
}

/** What comes of a call, refusal or answer, without the ids that it repeats from the request. */
async function traceOf(transport: Transport, method: DescMethod, request: Request): Promise<string> {
  const told = await invoke(transport, method, request).then(
    (answer) => ({ answer: toJson(method.output, answer) }),
    (error: unknown) => ({ refused: refusedOf(error) }),
  );
  return JSON.stringify(told).replaceAll(/_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "_");
}

/** True when a request names something besides the tenant. */
function namesObjects(request: Request): boolean {
  const text = (value: Request): string => JSON.stringify(value);
  return text(withAbsentIds(request)) !== text(request);
}

describe("the table of sample requests", () => {
  it("has every RPC and no other", () => {
    assert.ok(METHODS.length > 0);
    for (const method of METHODS) sampleOf(method);
    assert.deepEqual(samplePaths().toSorted(), METHODS.map(pathOf).toSorted());
  });
});

for (const kind of ["pglite", "postgres"] as const) {
  describe(`who may call what, on ${kind}`, function () {
    this.timeout(120_000);
    let installation: Installation;
    let sides: readonly [Side, Side];
    let ground: Ground;
    let roles: Record<Via, Role[]>;

    before(async () => {
      installation = await newInstallation({
        kind,
        config: { services: { netmap: { head_seconds: 0.5, reports_per_minute: 600 } } },
      });
      sides = [await newSide(installation, "alice"), await newSide(installation, "bob")];
      const [a, b] = sides;
      const members = { ofA: await a.newMember(), ofB: await b.newMember(), revoked: await a.newMember() };
      await a.revoke(members.revoked);
      ground = { installation, side: a, member: members.ofA, group: await a.newGroup() };
      roles = {
        "in process": await castOf(installation, "in process", sides, members),
        "over TCP and mTLS": await castOf(installation, "over TCP and mTLS", sides, members),
      };
    });
    after(() => installation.close());

    async function check(via: Via, role: Role, method: DescMethod, request: Request): Promise<void> {
      const expected = verdictOf(role.subject, method, via, tenantIdOf(request));
      const outcome = await outcomeOf(role.transport, method, request);
      const told = outcome && { code: outcome.code, reason: outcome.reason };
      assert.deepEqual(told, expected, `${role.name}: ${JSON.stringify(outcome ?? "let through")}`);
      const words = JSON.stringify(outcome ?? "");
      for (const name of [sides[0].tenantName, sides[0].cvlanName, ground.member.name]) {
        assert.ok(!words.includes(name), `${role.name} is told ${name}`);
      }
    }

    for (const via of VIAS) {
      describe(via, () => {
        for (const method of METHODS) {
          it(pathOf(method), async function () {
            // Ready-made frames are the listener's: there is no other way to them.
            if (via === "in process" && installation.framed.has(pathOf(method))) return;
            const sample = sampleOf(method);
            const request = await sample(ground);
            const isLet = ({ subject }: Role) => verdictOf(subject, method, via, tenantIdOf(request)) === undefined;
            for (const role of roles[via].filter((each) => !isLet(each))) await check(via, role, method, request);
            const [control, ...others] = roles[via].filter(isLet);
            assert.ok(control, "nobody may call it: a refusal says nothing without somebody who is let through");
            // The very request that all the others were refused: it was good, and is as if nobody had tried.
            await check(via, control, method, request);
            for (const role of others) await check(via, role, method, await sample(ground));
          });
        }
      });
    }

    describe("another tenant's objects look like none", () => {
      const stranger = (): Role => {
        const found = roles["over TCP and mTLS"].find(({ name }) => name === "another tenant's admin");
        if (!found) throw new Error("the cast lacks the other tenant's admin");
        return found;
      };
      for (const method of METHODS.filter((each) => accessOf(each).scope === Scope.TENANT)) {
        it(pathOf(method), async () => {
          const { transport } = stranger();
          const request = await sampleOf(method)(ground);
          const absentTenant = { ...request, tenantId: newId("tenant", Date.now()) } as Request;
          const [foreign, none] = [
            await outcomeOf(transport, method, request),
            await outcomeOf(transport, method, absentTenant),
          ];
          assert.ok(foreign);
          assert.deepEqual(foreign, none);

          const own = { ...request, tenantId: sides[1].tenantId } as Request;
          if (!namesObjects(own)) return;
          const theirs = await traceOf(transport, method, own);
          assert.equal(theirs, await traceOf(transport, method, withAbsentIds(own)));
          const isRead = method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
          assert.ok(isRead || theirs.includes('"NotFound"'), theirs);
        });
      }
    });
  });
}
