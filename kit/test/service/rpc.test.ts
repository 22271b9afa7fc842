import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { request } from "node:https";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { ErrorDetailSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { CvlanService, RegionService, RegistryService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { type Connection, connectTo } from "../../client/index.ts";
import { newId } from "../../ids/index.ts";
import { INTERCEPTORS } from "../../interceptors/index.ts";
import { pemOf } from "../../pki/index.ts";
import type { Composition } from "../../service/index.ts";
import { bench, type Bench, until } from "./fixture.ts";
import { HANGING_CVLAN, testAuth, testPolicy, testRegistry } from "./services.ts";

const apiKey = (): string => `cvk_platform_${randomUUID()}_${"A".repeat(43)}`;
const cvlanId = "cvlan_00000000-0000-7000-8000-000000000001";

async function post(url: string, bearer: string, body: Uint8Array, b: Bench): Promise<number> {
  const ca = pemOf(await b.roots());
  const headers = { authorization: `Bearer ${bearer}`, "content-type": "application/json" };
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: "POST", ca, headers }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.once("error", reject);
    sent.end(body);
  });
}

/** Expects a refusal with this code and reason, and returns its detail. */
async function refused(call: Promise<unknown>, code: Code, reason: string) {
  const error = await call.then(
    () => assert.fail("the call was let through"),
    (rejection: unknown) => ConnectError.from(rejection),
  );
  const detail = error.findDetails(ErrorDetailSchema)[0];
  assert.deepEqual([Code[error.code], detail?.reason], [Code[code], reason], error.message);
  assert.ok(detail);
  return { ...detail, message: error.rawMessage };
}

describe("a process of services", () => {
  let b: Bench;
  let process: Composition;
  const auth = testAuth();
  const registry = testRegistry();
  const tenantA = newId("tenant", Date.now());
  const tenantB = newId("tenant", Date.now());
  const keys = { platform: apiKey(), a: apiKey(), reader: apiKey() };
  const open: Connection[] = [];

  const as = async (options: { bearer?: string; certificate?: readonly Uint8Array[]; key?: string } = {}) => {
    const connection = connectTo(process.url, { roots: await b.roots(), ...options });
    open.push(connection);
    return connection;
  };
  const regionsAs = async (bearer: string) => createClient(RegionService, await as({ bearer }));

  before(async () => {
    b = await bench();
    const all = [Permission.REGION_READ, Permission.REGION_WRITE, Permission.CVLAN_READ, Permission.POLICY_READ];
    auth.people.set(keys.platform, { subject: "apikey:p", tenantId: "", permissions: all });
    auth.people.set(keys.a, { subject: "apikey:a", tenantId: tenantA, permissions: [...all, Permission.POLICY_WRITE] });
    auth.people.set(keys.reader, { subject: "apikey:r", tenantId: "", permissions: [Permission.REGION_READ] });
    process = await b.start([auth.definition, registry.definition, testPolicy()]);
  });
  after(async () => {
    for (const connection of open) connection.close();
    await b.close();
  });

  it("runs its interceptors in the order of the contract", () => {
    const names = INTERCEPTORS.map(({ name }) => name);
    assert.deepEqual(names, ["errors", "otel", "deadline", "authn", "audit", "validate", "authz", "streams"]);
  });

  it("serves a person over TLS and tells the handler who it is", async () => {
    const regions = await regionsAs(keys.platform);
    const { region } = await regions.createRegion({ name: "eu-west", displayName: "West" });
    assert.equal(region?.displayName, "West");
    await regions.listRegions({});
    assert.equal(registry.seen.caller?.authority?.subject, "apikey:p");
    assert.equal(registry.seen.caller?.workload.kind, "none");
    assert.equal(registry.seen.caller?.address, "127.0.0.1");
  });

  it("asks auth once for a credential that comes again", async () => {
    const before = auth.state.asked;
    const key = apiKey();
    auth.people.set(key, { subject: "apikey:once", tenantId: "", permissions: [Permission.REGION_READ] });
    const regions = await regionsAs(key);
    await Promise.all(Array.from({ length: 20 }, () => regions.listRegions({})));
    await regions.listRegions({});
    assert.equal(auth.state.asked - before, 1);
  });

  it("refuses callers without a credential, with a bad one, or without the right", async () => {
    await refused(createClient(RegionService, await as()).listRegions({}), Code.Unauthenticated, "CREDENTIAL_MISSING");
    await refused((await regionsAs("nonsense")).listRegions({}), Code.Unauthenticated, "CREDENTIAL_REFUSED");
    await refused((await regionsAs(apiKey())).listRegions({}), Code.Unauthenticated, "CREDENTIAL_REFUSED");
    const detail = await refused(
      (await regionsAs(keys.reader)).createRegion({ name: "eu-east" }),
      Code.PermissionDenied,
      "PERMISSION_DENIED",
    );
    assert.match(detail.remedy, /REGION_WRITE/);
    await refused((await regionsAs(keys.a)).listRegions({}), Code.PermissionDenied, "PLATFORM_ONLY");
  });

  it("shows another tenant's objects as absent, and its own and the platform's view as present", async () => {
    const cvlans = createClient(CvlanService, await as({ bearer: keys.a }));
    assert.equal((await cvlans.getCvlan({ tenantId: tenantA, cvlanId })).cvlan?.id, cvlanId);
    await refused(cvlans.getCvlan({ tenantId: tenantB, cvlanId }), Code.NotFound, "NOT_FOUND");
    const platform = createClient(CvlanService, await as({ bearer: keys.platform }));
    await platform.getCvlan({ tenantId: tenantB, cvlanId });
  });

  it("names the field that breaks the contract", async () => {
    const regions = await regionsAs(keys.platform);
    const detail = await refused(regions.createRegion({ name: "Not A Name" }), Code.InvalidArgument, "INVALID_FIELD");
    assert.equal(detail.field, "name");
  });

  it("passes a refusal on in its own words and says nothing of a defect but its request id", async () => {
    const regions = await regionsAs(keys.platform);
    const refusal = await refused(regions.createRegion({ name: "refused" }), Code.FailedPrecondition, "REGION_REFUSED");
    assert.deepEqual([refusal.message, refusal.field], ["not this one", "name"]);
    const defect = await refused(regions.createRegion({ name: "boom" }), Code.Internal, "INTERNAL");
    assert.doesNotMatch(JSON.stringify([defect.message, defect.remedy]), /swordfish/);
    const requestId = /[0-9a-f-]{36}/.exec(defect.remedy)?.[0];
    assert.ok(b.lines.some((line) => line.level === "error" && line.fields["request_id"] === requestId));
  });

  it("audits refused changes of known callers in their tenant, and no reads", async () => {
    const rows = async () =>
      (await b.store
        .database("registry")
        .platform((tx) => tx.execute("select outcome, actor from registry.audit_log"))) as {
        rows: { outcome: string; actor: string }[];
      };
    const before = (await rows()).rows.length;
    const reader = await regionsAs(keys.reader);
    await refused(reader.createRegion({ name: "eu-east" }), Code.PermissionDenied, "PERMISSION_DENIED");
    await refused((await regionsAs(keys.a)).listRegions({}), Code.PermissionDenied, "PLATFORM_ONLY");
    const after = (await rows()).rows;
    assert.equal(after.length, before + 1);
    assert.deepEqual(after.at(-1), { outcome: "PERMISSION_DENIED", actor: "apikey:r" });
  });

  it("writes no more rows for a caller that is refused without end", async () => {
    const tenant = newId("tenant", Date.now());
    const apiKey = `cvk_${tenant.slice("tenant_".length)}_00000000-0000-7000-8000-00000000f00d_${"f".repeat(43)}`;
    auth.people.set(apiKey, { subject: "apikey:flood", tenantId: tenant, permissions: [] });
    const regions = await regionsAs(apiKey);
    for (let sent = 0; sent < 100; sent++) {
      await refused(regions.createRegion({ name: "eu-east" }), Code.PermissionDenied, "PERMISSION_DENIED");
    }
    const count = "select count(*)::int as rows from registry.audit_log";
    const { rows } = (await b.store.database("registry").tenant(tenant, (tx) => tx.execute(count))) as {
      rows: { rows: number }[];
    };
    assert.deepEqual(rows, [{ rows: 60 }]);
  });

  it("carries the person's authority to the next service, in process", async () => {
    const policies = createClient(PolicyService, await as({ bearer: keys.a }));
    await policies.getPolicy({ tenantId: tenantA, cvlanId });
    assert.deepEqual(registry.seen.caller?.workload, { kind: "service", name: "policy" });
    assert.equal(registry.seen.caller?.authority?.subject, "apikey:a");
    assert.equal(registry.seen.caller?.address, "local");
  });

  it("does not let a service act on another tenant for a person", async () => {
    const policies = createClient(PolicyService, await as({ bearer: keys.a }));
    await refused(policies.applyPolicy({ tenantId: tenantA, cvlanId, document: {} }), Code.NotFound, "NOT_FOUND");
  });

  it("keeps the control plane's own calls from people, whatever headers they send", async () => {
    const targets = createClient(RegistryService, await as({ bearer: keys.platform }));
    const request = { tenantId: tenantA, cvlanId };
    await refused(targets.resolveTargets(request), Code.PermissionDenied, "CALLER_KIND");
    const headers = { "cloudvlan-call-context": "AAAA", "x-service": "policy" };
    await refused(targets.resolveTargets(request, { headers }), Code.PermissionDenied, "CALLER_KIND");
  });

  it("lets a service over mTLS call what it uses and nothing else", async () => {
    const credential = await b.ca.issue({ trustDomain: b.clusterId, kind: "service", name: "policy" });
    const transport = await as(credential);
    await createClient(RegistryService, transport).resolveTargets({ tenantId: tenantA, cvlanId });
    assert.deepEqual(registry.seen.caller?.workload, { kind: "service", name: "policy" });
    const cvlans = createClient(CvlanService, transport);
    await refused(cvlans.getCvlan({ tenantId: tenantA, cvlanId }), Code.PermissionDenied, "SERVICE_NOT_ALLOWED");
  });

  it("refuses a call inside a database transaction", async () => {
    const regions = await regionsAs(keys.platform);
    await refused(regions.createRegion({ name: "inside" }), Code.Internal, "INTERNAL");
    const line = b.lines.findLast(({ message }) => message === "request failed");
    assert.match(String(line?.fields["error"]), /inside a database transaction/);
  });

  it("ends the calls that were made for a call with it, in process", async () => {
    const policies = createClient(PolicyService, await as({ bearer: keys.a }));
    const before = registry.seen.aborted;
    const stop = new AbortController();
    const call = policies.getPolicy({ tenantId: tenantA, cvlanId: HANGING_CVLAN }, { signal: stop.signal });
    setTimeout(() => stop.abort(), 50);
    await assert.rejects(call, (error) => ConnectError.from(error).code === Code.Canceled);
    await until("the signal two services further", () => registry.seen.aborted > before);
  });

  it("says what it does not implement, and that a message is not one", async () => {
    const cvlans = createClient(CvlanService, await as({ bearer: keys.a }));
    await assert.rejects(cvlans.listCvlans({ tenantId: tenantA }), (error) => {
      assert.equal(ConnectError.from(error).code, Code.Unimplemented);
      return true;
    });
    const garbage = Buffer.from(`{"tenantId": 7, "cvlan": 1}`);
    const answer = await post(`${process.url}/cloudvlan.registry.v1.CvlanService/GetCvlan`, keys.a, garbage, b);
    assert.equal(answer, 400);
  });

  it("ends a call with its caller, and one that does not listen at its deadline", async () => {
    const regions = await regionsAs(keys.platform);
    const before = registry.seen.aborted;
    const stop = new AbortController();
    const slow = regions.createRegion({ name: "slow" }, { signal: stop.signal });
    setTimeout(() => stop.abort(), 50);
    await assert.rejects(slow, (error) => ConnectError.from(error).code === Code.Canceled);
    await until("the handler's signal", () => registry.seen.aborted > before);
    const deaf = regions.createRegion({ name: "deaf" }, { timeoutMs: 200 });
    await assert.rejects(deaf, (error) => ConnectError.from(error).code === Code.DeadlineExceeded);
  });
});
