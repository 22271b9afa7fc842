import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { RegionService, RegistryService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { type Connection, connectTo } from "../../client/index.ts";
import { newId } from "../../ids/index.ts";
import { createCsr, formatSpiffe, newTlsKey, pemOf } from "../../pki/index.ts";
import { type Composition, defineService } from "../../service/index.ts";
import { freePort } from "../../service/outside.ts";
import { bench, type Bench, until } from "./fixture.ts";
import { testAuth, testPolicy, testRegistry } from "./services.ts";

const cvlanId = "cvlan_00000000-0000-7000-8000-000000000001";

describe("services in two processes", () => {
  let b: Bench;
  let front: Composition;
  let back: Composition;
  let folder: string;
  const auth = testAuth();
  const registry = testRegistry();
  const key = `cvk_platform_${randomUUID()}_${"A".repeat(43)}`;
  const tenantId = newId("tenant", Date.now());
  const open: Connection[] = [];

  async function identityOf(name: "registry" | "policy", mode = 0o600) {
    const tlsKey = newTlsKey();
    const spiffe = formatSpiffe({ trustDomain: b.clusterId, kind: "service", name });
    const { chain } = await b.ca.sign(await createCsr(tlsKey), spiffe, ["localhost"], 3600);
    const file = (suffix: string): string => join(folder, `${name}.${suffix}`);
    writeFileSync(file("pem"), pemOf(chain));
    writeFileSync(file("key"), tlsKey);
    chmodSync(file("key"), mode);
    writeFileSync(file("roots"), pemOf(await b.roots()));
    return { certificate: file("pem"), key: file("key"), roots: file("roots") };
  }

  before(async () => {
    b = await bench();
    folder = mkdtempSync(join(tmpdir(), "cvlan-identity-"));
    const [frontPort, backPort] = [await freePort("127.0.0.1"), await freePort("127.0.0.1")];
    const listen = (port: number) => ({ address: "127.0.0.1", port, names: ["localhost"] });
    const all = [Permission.REGION_READ, Permission.REGION_WRITE, Permission.POLICY_READ, Permission.POLICY_WRITE];
    auth.people.set(key, { subject: "apikey:p", tenantId: "", permissions: all });
    front = await b.start(
      [auth.definition, testPolicy()],
      b.config({ listen: listen(frontPort), endpoints: { registry: `https://localhost:${backPort}` } }),
    );
    back = await b.start(
      [auth.definition, registry.definition],
      b.config({
        listen: listen(backPort),
        endpoints: { auth: `https://localhost:${frontPort}` },
        identities: { registry: await identityOf("registry") },
      }),
    );
  });
  afterEach(() => {
    for (const connection of open.splice(0)) connection.close();
  });
  after(async () => {
    await b.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const to = async (process: Composition): Promise<Connection> => {
    const connection = connectTo(process.url.replace(/:\d+$/, `:${process.port}`), {
      roots: await b.roots(),
      bearer: key,
    });
    open.push(connection);
    return connection;
  };

  it("authenticates a person by the auth of the other process", async () => {
    await createClient(RegionService, await to(back)).createRegion({ name: "eu-north" });
    assert.deepEqual(registry.seen.regions, ["eu-north"]);
  });

  it("carries workload and authority across mTLS", async () => {
    await createClient(PolicyService, await to(front)).getPolicy({ tenantId, cvlanId });
    assert.deepEqual(registry.seen.caller?.workload, { kind: "service", name: "policy" });
    assert.equal(registry.seen.caller?.authority?.subject, "apikey:p");
    assert.notEqual(registry.seen.caller?.address, "local");
  });

  it("does not start with an identity that is not its own, or that others may read", async () => {
    const start = (identities: object) =>
      b.start([auth.definition, registry.definition], b.config({ endpoints: { auth: front.url }, identities }));
    await assert.rejects(
      start({ registry: await identityOf("policy") }),
      /is .*service\/policy and not the service registry/,
    );
    await assert.rejects(start({ registry: await identityOf("registry", 0o644) }), /others may read it/);
  });

  it("hosts several services without auth, each with an identity of its own", async () => {
    const definitions = [auth.definition, registry.definition, testPolicy()];
    const endpoints = { auth: front.url };
    const lacking = { registry: await identityOf("registry") };
    await assert.rejects(b.start(definitions, b.config({ endpoints, identities: lacking })), /identities\.policy/);
    const identities = { ...lacking, policy: await identityOf("policy") };
    const both = await b.start(definitions, b.config({ endpoints, identities }));
    await createClient(PolicyService, await to(both)).getPolicy({ tenantId, cvlanId });
    assert.deepEqual(registry.seen.caller?.workload, { kind: "service", name: "policy" });
    assert.equal(registry.seen.caller?.address, "local");
    await createClient(RegionService, await to(both)).createRegion({ name: "eu-south" });
    assert.ok(registry.seen.regions.includes("eu-south"));
  });

  it("tells a caller that the other process is gone, and works again when it is back", async () => {
    const policies = createClient(PolicyService, await to(front));
    await back.close();
    await assert.rejects(policies.getPolicy({ tenantId, cvlanId }, { timeoutMs: 1500 }), (error) => {
      const { code } = ConnectError.from(error);
      return code === Code.Unavailable || code === Code.DeadlineExceeded;
    });
    back = await b.start(
      [auth.definition, registry.definition],
      b.config({
        listen: { address: "127.0.0.1", port: back.port, names: ["localhost"] },
        endpoints: { auth: front.url },
        identities: { registry: await identityOf("registry") },
      }),
    );
    let answered = false;
    void (async () => {
      while (!answered)
        answered = await policies.getPolicy({ tenantId, cvlanId }).then(
          () => true,
          () => false,
        );
    })();
    await until("an answer", () => answered);
  });
});

describe("what does not start", () => {
  let b: Bench;
  before(async () => {
    b = await bench();
  });
  after(() => b.close());

  it("a service that calls one which is nowhere", async () => {
    const start = b.start([testRegistry().definition]);
    await assert.rejects(start, /endpoints\.auth/);
    const alone = b.start([testAuth().definition, testPolicy()]);
    await assert.rejects(alone, /endpoints\.registry/);
  });

  it("a service that uses what it may not", async () => {
    const definition = { ...testPolicy(), uses: [RegionService] };
    await assert.rejects(
      b.start([testAuth().definition, definition]),
      /may not call cloudvlan.registry.v1.RegionService/,
    );
  });

  it("a service that asks for a client it did not declare", async () => {
    const definition = defineService({
      ...testPolicy(),
      uses: [],
      build: async ({ client }) => ({ routes: () => void client(RegistryService) }),
    });
    await assert.rejects(
      b.start([testAuth().definition, testRegistry().definition, definition]),
      /does not declare in `uses`/,
    );
  });

  it("a service that serves what it does not declare", async () => {
    const definition = { ...testRegistry().definition, provides: [RegionService] };
    await assert.rejects(b.start([testAuth().definition, definition]), /does not declare it in `provides`/);
  });

  it("anything in a data folder of another cluster", async () => {
    const config = b.config();
    await (await b.start([testAuth().definition], config)).close();
    const other = { ...config, cluster: newId("cluster", Date.now()) };
    await assert.rejects(b.start([testAuth().definition], other), /belongs to cluster_/);
  });
});
