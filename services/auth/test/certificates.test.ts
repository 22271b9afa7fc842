import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { AuthService, CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { sql } from "drizzle-orm";
import type { Certificate } from "@cloudvlan/gen/entity/v1/certificate_pb.js";
import { processConfigSchema } from "@cloudvlan/kit/config";
import { newId, type NodeId, type TenantId } from "@cloudvlan/kit/ids";
import { certificatesOf, createCsr, newTlsKey, verifyChain } from "@cloudvlan/kit/pki";
import { type TestCa, withStores } from "@cloudvlan/kit/testing";
import { issueIdentity } from "../issue.ts";
import {
  type AuthUnderTest,
  clusterId,
  newTenant,
  node,
  person,
  refusalOf,
  service,
  startAuth,
  startTestCa,
} from "./harness.ts";

describe("auth: certificates and denials", function () {
  this.timeout(120_000);
  let ca: TestCa;
  before(async () => {
    ca = await startTestCa();
  });
  after(() => ca[Symbol.asyncDispose]());

  withStores((under) => {
    let auth: AuthUnderTest;
    let tenantId: TenantId;
    before(async () => {
      const config = { node_certificate_ttl_seconds: 60, service_names: { registry: ["registry.example"] } };
      auth = await startAuth({ store: under.store, ca, config });
      ({ id: tenantId } = await newTenant(auth));
    });

    const newNode = () => newId("node", Date.now());
    const mint = async (nodeId: NodeId, as = service("registry")) =>
      auth.as(CertificateService, as).mintCertificate({ tenantId, nodeId, csr: await createCsr(newTlsKey()) });
    const deny = (nodeId: NodeId) => auth.as(AuthService, service("registry")).deny({ tenantId, nodeId });
    const uriOf = (nodeId: NodeId) => `spiffe://${clusterId}/tenant/${tenantId}/node/${nodeId}`;
    const judge = async (certificate: Certificate | undefined) =>
      verifyChain(certificate?.chain ?? [], await ca.authority.roots(), Date.now(), { trustDomain: clusterId });

    it("are minted for the node that registry names, and for nobody else's asking", async () => {
      const nodeId = newNode();
      const { certificate, bundle } = await mint(nodeId);
      const verdict = await judge(certificate);
      assert.ok(verdict.ok && verdict.uri === uriOf(nodeId));
      assert.deepEqual(bundle?.roots, [...(await ca.authority.roots())]);
      assert.ok(certificate?.notAfter && timestampMs(certificate.notAfter) < Date.now() + 70_000);
      assert.equal((await refusalOf(mint(nodeId, service("netmap")))).reason, "CALLER_NOT_LET_IN");
      assert.equal((await refusalOf(mint(nodeId, node(tenantId, nodeId)))).reason, "CALLER_NOT_LET_IN");
      const registry = auth.as(CertificateService, service("registry"));
      const csr = await createCsr(newTlsKey());
      const nowhere = registry.mintCertificate({ tenantId: newId("tenant", Date.now()), nodeId, csr });
      assert.equal((await refusalOf(nowhere)).reason, "TENANT_NOT_FOUND");
      const garbage = registry.mintCertificate({ tenantId, nodeId, csr: new Uint8Array(100) });
      assert.equal((await refusalOf(garbage)).reason, "CSR_MALFORMED");
    });

    it("are renewed for the identity that was presented, expired or not", async () => {
      const nodeId = newNode();
      for (const expired of [false, true]) {
        const csr = await createCsr(newTlsKey());
        const { certificate } = await auth
          .as(CertificateService, node(tenantId, nodeId, expired))
          .renewCertificate({ csr });
        const verdict = await judge(certificate);
        assert.ok(verdict.ok && verdict.uri === uriOf(nodeId) && !verdict.expired);
      }
      const csr = await createCsr(newTlsKey());
      const { certificate } = await auth.as(CertificateService, service("registry")).renewCertificate({ csr });
      const verdict = await judge(certificate);
      assert.ok(verdict.ok && verdict.uri === `spiffe://${clusterId}/platform/service/registry`);
      const anonymous = auth.as(CertificateService, person(tenantId)).renewCertificate({ csr });
      assert.equal((await refusalOf(anonymous)).reason, "CERTIFICATE_MISSING");
    });

    it("are never again given to a denied node, and every one it has is older than the denial", async () => {
      const nodeId = newNode();
      const before = await mint(nodeId);
      const { revision } = await deny(nodeId);
      const csr = await createCsr(newTlsKey());
      const renewal = auth.as(CertificateService, node(tenantId, nodeId, true)).renewCertificate({ csr });
      assert.equal((await refusalOf(renewal)).reason, "IDENTITY_DENIED");
      assert.equal((await refusalOf(mint(nodeId))).reason, "IDENTITY_DENIED");

      const { changes } = await auth.ctx.changes.read(undefined, "auth", revision - 1n);
      const told = changes.find((change) => change.objectId === uriOf(nodeId));
      assert.equal(told?.revision, revision);
      assert.ok(told.change.case === "denial" && told.change.value.issuedBefore && before.certificate?.notBefore);
      const { issuedBefore } = told.change.value;
      assert.equal(issuedBefore.nanos, 0);
      assert.ok(timestampMs(before.certificate.notBefore) < timestampMs(issuedBefore));
      assert.ok(timestampMs(issuedBefore) > Date.now() - 5000);
      await mint(newNode());
    });

    it("are refused also when the clock was set back before the denial", async () => {
      const nodeId = newNode();
      const { certificate } = await mint(nodeId);
      auth.clock.forward(-7_200_000);
      const { revision } = await deny(nodeId);
      auth.clock.forward(7_200_000);
      const { changes } = await auth.ctx.changes.read(undefined, "auth", revision - 1n);
      const told = changes.find((change) => change.objectId === uriOf(nodeId))?.change;
      assert.ok(told?.case === "denial" && told.value.issuedBefore && certificate?.notBefore);
      assert.ok(timestampMs(certificate.notBefore) < timestampMs(told.value.issuedBefore));
    });

    it("are denied, however often and however many ask, with one row in the audit log", async () => {
      const nodeId = newNode();
      const answers = await Promise.all(Array.from({ length: 8 }, () => deny(nodeId)));
      assert.equal(new Set(answers.map((answer) => answer.revision)).size, 8);
      const rows = sql`select outcome from audit_log where object_id = ${nodeId}`;
      const audited = (await auth.ctx.db.platform((tx) => tx.execute(rows))) as { rows: { outcome: string }[] };
      assert.deepEqual(audited.rows, [{ outcome: "ok" }]);
      const byPolicy = auth.as(AuthService, service("policy")).deny({ tenantId, nodeId });
      assert.equal((await refusalOf(byPolicy)).reason, "CALLER_NOT_LET_IN");
    });

    it("are denied again when somebody who can write the tables had the denial look as if it were told", async () => {
      const nodeId = newNode();
      const forged = sql`insert into denial values (${uriOf(nodeId)}, now(), 1, now())`;
      await auth.ctx.db.platform((tx) => tx.execute(forged));
      const { revision } = await deny(nodeId);
      const { changes } = await auth.ctx.changes.read(undefined, "auth", revision - 1n);
      assert.deepEqual(
        changes.map(({ objectId }) => objectId),
        [uriOf(nodeId)],
      );
    });

    it("and their denials reach a listener, which hears a sign of life in between", async () => {
      const stop = new AbortController();
      const { revision: since } = await auth.ctx.changes.read(undefined, "auth", 0n);
      const stream = auth.as(AuthService, service("netmap")).watchChanges({ since }, { signal: stop.signal });
      const nodeId = newNode();
      let beats = 0;
      try {
        for await (const batch of stream) {
          if (batch.changes.length === 0) {
            beats += 1;
            if (beats === 2) await deny(nodeId);
          } else {
            assert.equal(batch.changes[0]?.objectId, uriOf(nodeId));
            break;
          }
        }
      } finally {
        stop.abort();
      }
      assert.equal(beats >= 2, true);
    });

    it("say that the CA is away, and come again when it is back", async () => {
      await ca.stop();
      const refusal = await refusalOf(mint(newNode()));
      assert.equal(refusal.reason, "CA_UNREACHABLE");
      assert.ok((await auth.as(CertificateService, person(tenantId)).getTrustBundle({})).bundle?.roots.length);
      await ca.start();
      await mint(newNode());
    });
  });

  it("are issued for a service in another process by a command", async () => {
    await using own = await startTestCa();
    const out = join(own.folder, "identity");
    await writeFile(join(own.folder, "cluster"), `${clusterId}\n`);
    const settings = processConfigSchema.parse({
      data: own.folder,
      url: "https://localhost:8443",
      listen: { address: "127.0.0.1", port: 0, names: ["localhost"] },
      store: { kind: "pglite" },
      ca: {
        url: own.url,
        root: join(own.folder, "ca", "root.pem"),
        provisioner: "cloudvlan",
        provisioner_key: join(own.folder, "ca", "provisioner.jwk"),
      },
      services: { auth: { service_names: { policy: ["policy.example"] } } },
    });
    await issueIdentity(settings, "policy", out);
    assert.equal((await stat(join(out, "key.pem"))).mode & 0o777, 0o600);
    const chain = certificatesOf(await readFile(join(out, "certificate.pem"), "utf8"));
    const verdict = verifyChain(chain, certificatesOf(await readFile(join(out, "roots.pem"), "utf8")), Date.now(), {
      trustDomain: clusterId,
    });
    assert.ok(verdict.ok && verdict.uri === `spiffe://${clusterId}/platform/service/policy`);
    await assert.rejects(issueIdentity(settings, "policy", out), /exists; name another folder/);
    const { ca: settingsCa, ...without } = settings;
    assert.ok(settingsCa);
    await assert.rejects(issueIdentity(without, "policy", `${out}2`), /no ca\.provisioner_key/);
  });

  it("are not issued to a command that is called wrongly, which says how to call it", () => {
    const command = fileURLToPath(new URL("../issue.ts", import.meta.url));
    for (const argv of [[], ["--service", "root", "--config", "c", "--out", "o"], ["--key", "x"]]) {
      const { status, stderr } = spawnSync(process.execPath, [command, ...argv], { encoding: "utf8" });
      assert.equal(status, 64);
      assert.match(stderr, /usage: node services\/auth\/issue\.ts --config FILE/);
    }
  });
});
