import assert from "node:assert/strict";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import type { Clock } from "@cloudvlan/kit/clock";
import { createCsr, newTlsKey, pemOf } from "@cloudvlan/kit/pki";
import { keepIdentity, loadIdentity } from "../certificate/files.ts";
import { acceptCertificate, type TlsIdentity } from "../certificate/identity.ts";
import { keepCertificate } from "../certificate/renew.ts";
import { controllerOf } from "../controller/connection.ts";
import { cell } from "../state/cell.ts";
import { problemBook } from "../state/problems.ts";
import { CLUSTER, NODE, NODE_URI, TENANT, type TestCa, testCa } from "./ca.ts";
import { type TestController, testController } from "./controller.ts";
import { recordingLog, temporaryFolder, until } from "./support.ts";

const EXPECTED = { clusterId: CLUSTER, tenantId: TENANT, nodeId: NODE };

describe("the node's certificate", function () {
  this.timeout(120_000);
  let ca: TestCa;
  let controller: TestController;
  let failures = 0;
  let renewals = 0;
  before(async () => {
    ca = await testCa();
    controller = await testController(ca, (router) => {
      router.service(CertificateService, {
        renewCertificate: async ({ csr }) => {
          renewals += 1;
          if (failures-- > 0) throw new ConnectError("the CA is down", Code.FailedPrecondition);
          const { chain } = await ca.authority.sign(csr, NODE_URI, [], 3600);
          return { certificate: { chain: [...chain] }, bundle: { roots: [...ca.roots] } };
        },
      });
    });
  });
  after(async () => {
    await controller[Symbol.asyncDispose]();
    await ca[Symbol.asyncDispose]();
  });

  async function issued(ttlSeconds = 3600): Promise<TlsIdentity> {
    const key = newTlsKey();
    const { chain } = await ca.authority.sign(await createCsr(key), NODE_URI, [], ttlSeconds);
    return acceptCertificate(key, chain, ca.roots, EXPECTED, Date.now());
  }

  /** Runs the renewal with a clock that is ahead by so many seconds. */
  async function renewedBy(aheadSeconds: number, until_: (now: TlsIdentity, first: TlsIdentity) => boolean) {
    await using folder = await temporaryFolder();
    const first = await issued();
    await keepIdentity(folder.path, first);
    const clock: Clock = {
      nowMs: () => Date.now() + aheadSeconds * 1000,
      monotonicMs: () => performance.now(),
      bootMs: () => performance.now(),
    };
    const identity = cell(first);
    const stop = new AbortController();
    const options = {
      state: folder.path,
      expected: EXPECTED,
      controller: controllerOf(controller.url, identity),
      identity,
      clock,
      problems: problemBook(),
      log: recordingLog().log,
    };
    const done = keepCertificate(options, stop.signal);
    await until("renewed", () => until_(identity.get(), first));
    const loaded = await loadIdentity(folder.path, EXPECTED, Date.now());
    assert.equal(loaded.keyPem, identity.get().keyPem);
    assert.notEqual(loaded.keyPem, first.keyPem);
    stop.abort();
    await done;
  }

  it("is renewed with a new key past two thirds of its life", async () => {
    await renewedBy(3_000, (now, first) => now !== first);
  });

  it("is renewed long after it ended, and after failures", async () => {
    failures = 2;
    renewals = 0;
    await renewedBy(30 * 86_400, (now, first) => now !== first);
    assert.ok(renewals >= 3);
  });

  it("on disk is one whole pair after a crash between any two writes", async () => {
    const old = await issued();
    const next = await issued();
    const write = (folder: string, files: Record<string, string>) =>
      Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(folder, name), text, { mode: 0o600 })));
    const base = { "roots.pem": pemOf(ca.roots), "tls.key": old.keyPem, "tls.pem": pemOf(old.chain) };
    const chain = pemOf(next.chain);
    const cases: [Record<string, string>, TlsIdentity][] = [
      [base, old],
      [{ ...base, "tls.key.next": next.keyPem }, old],
      [{ ...base, "tls.key.next": next.keyPem, "tls.pem.next": chain }, next],
      [{ ...base, "tls.key": next.keyPem, "tls.pem.next": chain }, next],
      [{ ...base, "tls.pem.next": chain }, old],
    ];
    for (const [index, [files, expected]] of cases.entries()) {
      await using folder = await temporaryFolder();
      await write(folder.path, files);
      const loaded = await loadIdentity(folder.path, EXPECTED, Date.now());
      assert.equal(loaded.keyPem, expected.keyPem, `case ${index}`);
    }
  });

  it("survives a crash while the CA is replaced", async () => {
    await using other = await testCa();
    const key = newTlsKey();
    const { chain } = await other.authority.sign(await createCsr(key), NODE_URI, [], 3600);
    const next = acceptCertificate(key, chain, other.roots, EXPECTED, Date.now());
    for (const blocked of ["roots.pem.next", "tls.key.next", "tls.pem.next"]) {
      await using folder = await temporaryFolder();
      const old = await issued();
      await keepIdentity(folder.path, old);
      // A folder in the way ends the work at this file.
      await mkdir(join(folder.path, blocked), { mode: 0o700 });
      await assert.rejects(keepIdentity(folder.path, next));
      await rm(join(folder.path, blocked), { recursive: true });
      assert.equal((await loadIdentity(folder.path, EXPECTED, Date.now())).keyPem, old.keyPem, blocked);
      await keepIdentity(folder.path, next);
      assert.equal((await loadIdentity(folder.path, EXPECTED, Date.now())).keyPem, key, blocked);
    }
  });

  it("is the former one when the next one on disk is garbled", async () => {
    const garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (const files of [{ "tls.pem.next": garbled }, { "tls.pem.next": "", "tls.key.next": "x" }]) {
      await using folder = await temporaryFolder();
      const old = await issued();
      await keepIdentity(folder.path, old);
      for (const [name, text] of Object.entries(files)) await writeFile(join(folder.path, name), text, { mode: 0o600 });
      assert.equal((await loadIdentity(folder.path, EXPECTED, Date.now())).keyPem, old.keyPem);
    }
    await using folder = await temporaryFolder();
    const [old, next] = [await issued(), await issued()];
    await keepIdentity(folder.path, old);
    await writeFile(join(folder.path, "tls.pem.next"), pemOf(next.chain), { mode: 0o600 });
    await writeFile(join(folder.path, "tls.key.next"), "garbled", { mode: 0o600 });
    assert.equal((await loadIdentity(folder.path, EXPECTED, Date.now())).keyPem, old.keyPem);
  });

  it("is refused when it is of another node, key or CA", async () => {
    const { keyPem, chain } = await issued();
    const now = Date.now();
    const other = { ...EXPECTED, nodeId: EXPECTED.nodeId.replace(/0$/, "1") };
    assert.throws(() => acceptCertificate(keyPem, chain, ca.roots, other, now), /names another node/);
    assert.throws(() => acceptCertificate(newTlsKey(), chain, ca.roots, EXPECTED, now), /another key/);
    assert.throws(() => acceptCertificate(keyPem, chain, [], EXPECTED, now), /trusted root/);
    assert.throws(() => acceptCertificate(keyPem, [], ca.roots, EXPECTED, now), /no certificate/);
  });
});
