import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { AuthService, CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { AgentService } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { CvlanService, NodeService, RegistryService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { type Caller, currentScope, outsideScope, runInScope } from "../../caller/index.ts";
import { Refusal } from "../../errors/index.ts";
import { newId } from "../../ids/index.ts";
import { addressLimit, authorize, refusalCounter } from "../../interceptors/index.ts";
import { limitKey } from "../../interceptors/address-limit.ts";
import { withDeadline } from "../../interceptors/deadline.ts";
import { type Line, recordingLog } from "../../testing/log.ts";

const refusedWith = (reason: string) => (error: unknown) => error instanceof Refusal && error.reason === reason;

describe("authorisation", () => {
  const tenantId = newId("tenant", Date.now());
  const cvlanId = "cvlan_00000000-0000-7000-8000-000000000001";
  const person = (tenant: typeof tenantId | undefined, ...permissions: Permission[]): Caller => ({
    workload: { kind: "none" },
    authority: { subject: "apikey:x", tenantId: tenant, permissions: new Set(permissions) },
    requestId: "r",
    address: "1.2.3.4",
  });
  const getCvlan = CvlanService.method.getCvlan;
  const ofTenant = create(getCvlan.input, { tenantId, cvlanId });

  it("needs person and workload both to be allowed when a service forwards a person", () => {
    const forwarded = (name: "netmap" | "auth", caller: Caller): Caller => ({
      ...caller,
      workload: { kind: "service", name },
    });
    const reader = person(tenantId, Permission.CVLAN_READ);
    assert.doesNotThrow(() => authorize(reader, getCvlan, ofTenant));
    assert.throws(() => authorize(forwarded("netmap", reader), getCvlan, ofTenant), refusedWith("SERVICE_NOT_ALLOWED"));
    const resolve = RegistryService.method.resolveTargets;
    const request = create(resolve.input, { tenantId, cvlanId });
    assert.doesNotThrow(() => authorize(forwarded("netmap", reader), resolve, request));
    assert.throws(() => authorize(forwarded("auth", reader), resolve, request), refusedWith("SERVICE_NOT_ALLOWED"));
    const stranger = person(newId("tenant", Date.now()), Permission.CVLAN_READ);
    assert.throws(() => authorize(forwarded("netmap", stranger), resolve, request), refusedWith("NOT_FOUND"));
  });

  it("lets a service by itself read what tenants own, and change none of it", () => {
    const netmap: Caller = {
      workload: { kind: "service", name: "netmap" },
      authority: undefined,
      requestId: "",
      address: "",
    };
    const { getNode, revokeNode } = NodeService.method;
    const nodeId = newId("node", Date.now());
    assert.doesNotThrow(() => authorize(netmap, getNode, create(getNode.input, { tenantId, nodeId })));
    const revocation = create(revokeNode.input, { tenantId, nodeId });
    assert.throws(() => authorize(netmap, revokeNode, revocation), refusedWith("PERSON_MISSING"));
    const forPerson = { ...person(tenantId, Permission.NODE_WRITE), workload: netmap.workload };
    assert.doesNotThrow(() => authorize(forPerson, revokeNode, revocation));
  });

  it("lets every service ask auth for what the chassis needs, and for no more", () => {
    const auth: Caller = {
      workload: { kind: "service", name: "auth" },
      authority: undefined,
      requestId: "",
      address: "",
    };
    const { authenticate, deny } = AuthService.method;
    assert.doesNotThrow(() => authorize(auth, authenticate, create(authenticate.input)));
    assert.throws(() => authorize(auth, deny, create(deny.input)), refusedWith("SERVICE_NOT_ALLOWED"));
  });

  it("serves nothing of a machine's own socket, to anybody", () => {
    const { getStatus } = AgentService.method;
    assert.throws(() => authorize(person(undefined), getStatus, create(getStatus.input)), refusedWith("LOCAL_ONLY"));
  });

  it("knows nobody without a credential, except where everybody is let in", () => {
    const nobody: Caller = { workload: { kind: "none" }, authority: undefined, requestId: "", address: "" };
    assert.throws(() => authorize(nobody, getCvlan, ofTenant), refusedWith("CREDENTIAL_MISSING"));
    const { getTrustBundle } = CertificateService.method;
    assert.doesNotThrow(() => authorize(nobody, getTrustBundle, create(getTrustBundle.input)));
  });
});

describe("the limit of an address", () => {
  it("counts an IPv6 /64 as one and IPv4 addresses each", async () => {
    const limit = addressLimit(2);
    for (let i = 0; i < 4; i++) await limit(`2001:db8:0:1::${i}`);
    await assert.rejects(limit("2001:db8:0:1:ffff::"), refusedWith("TOO_MANY_REQUESTS"));
    await limit("2001:db8:0:2::1");
    await limit("192.0.2.1");
    assert.equal(limitKey("::1"), "::/64");
    assert.equal(limitKey("2001:db8::5:6:7:8"), "2001:db8::/64");
  });
});

describe("the scope of a request", () => {
  it("is gone with the request, and for what serves more than it", async () => {
    const scope = { requestId: "r", callContext: "c", signal: undefined, done: false };
    let late: unknown = "unset";
    const background = runInScope(scope, async () => {
      assert.equal(currentScope()?.callContext, "c");
      assert.equal(outsideScope(currentScope), undefined);
      await sleep(10);
      late = currentScope();
    });
    scope.done = true;
    await background;
    assert.equal(late, undefined);
  });
});

describe("a deadline", () => {
  it("ends the wait also for work that does not listen, and tells work that does", async () => {
    let told = false;
    const deaf = withDeadline(new AbortController().signal, 20, (signal) => {
      signal.addEventListener("abort", () => (told = true));
      return new Promise<never>(() => {});
    });
    await assert.rejects(deaf, (error) => ConnectError.from(error).code === Code.DeadlineExceeded);
    assert.ok(told);
  });
});

describe("refusals of the nameless", () => {
  it("are one line, however many there are", () => {
    const lines: Line[] = [];
    {
      using counter = refusalCounter(recordingLog(lines));
      for (let i = 0; i < 1000; i++) counter.count(new Refusal("unauthenticated", "A", "a", { auditReason: "FINE" }));
      counter.count(new Refusal("exhausted", "B", "b"));
    }
    assert.deepEqual(
      lines.map(({ fields }) => fields),
      [{ refused: { FINE: 1000, B: 1 } }],
    );
  });
});
