import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initCa, PROVISIONER } from "@cloudvlan/infra/step-ca/init";
import { type RunningCa, startCa } from "@cloudvlan/infra/step-ca/start";
import { caClient, type CertificateAuthority, prepareRotation, retireRoot, switchIssuer } from "../../ca/index.ts";
import { trustedRootsOf } from "../../client/index.ts";
import { systemClock } from "../../clock/index.ts";
import { Refusal } from "../../errors/index.ts";
import { newId } from "../../ids/index.ts";
import { certificatesOf, createCsr, newTlsKey, verifyChain } from "../../pki/index.ts";
import { readFileSync } from "node:fs";

const binary = process.env["CLOUDVLAN_STEP_CA"] ?? "step-ca";
const LIFETIME = 3600;
const DUE_MS = LIFETIME * 1000;

describe("a root of the CA that is replaced", function () {
  this.timeout(120_000);
  const clusterId = newId("cluster", Date.now());
  const node = `spiffe://${clusterId}/tenant/${newId("tenant", Date.now())}/node/${newId("node", Date.now())}`;
  let dir: string;
  let ca: string;
  let running: RunningCa;
  let authority: CertificateAuthority;
  let now: number;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "cvlan-rotation-"));
    ca = join(dir, "ca");
    const files = await initCa(ca, { clusterId, names: ["127.0.0.1"], address: "127.0.0.1:0" });
    running = await startCa(ca, binary);
    authority = caClient({
      url: running.url,
      rootPem: () => readFileSync(files.rootPem, "utf8"),
      provisionerName: PROVISIONER,
      provisionerKeyJwk: JSON.parse(await readFile(files.provisionerKey, "utf8")) as object,
      clock: systemClock,
    });
    now = Date.now();
  });
  afterEach(async () => {
    await running.stop();
    await rm(dir, { recursive: true });
  });

  const restart = async (): Promise<void> => {
    await running.stop();
    running = await startCa(ca, binary);
  };
  const issue = async () => (await authority.sign(await createCsr(newTlsKey()), node, [], 3600)).chain;
  const isUnder = (chain: readonly Uint8Array[], roots: readonly Uint8Array[]): boolean =>
    verifyChain(chain, roots, Date.now(), { trustDomain: clusterId }).ok;
  const bundle = async () => ({ roots: await authority.roots(), crossSigned: await authority.crossSigned() });
  const refused = (promise: Promise<unknown>, reason: string) =>
    assert.rejects(promise, (error) => error instanceof Refusal && error.reason === reason);

  it("is published before the CA issues under it, and the former one goes after its certificates", async () => {
    const former = await authority.roots();
    assert.equal(former.length, 1);
    await refused(switchIssuer(ca, LIFETIME, now), "CA_ROTATION_ORDER");
    await refused(retireRoot(ca, LIFETIME, now), "CA_ROTATION_ORDER");

    await prepareRotation(ca, clusterId, now);
    await refused(prepareRotation(ca, clusterId, now), "CA_ROTATION_UNDER_WAY");
    const both = await authority.roots();
    assert.deepEqual(both[0], former[0], "join strings still pin the former one");
    const next = both.slice(1);
    assert.equal(next.length, 1);
    assert.ok(isUnder(await issue(), former));
    await restart();
    assert.ok(isUnder(await issue(), former), "a CA that is restarted meanwhile goes on as before");

    await refused(switchIssuer(ca, LIFETIME, now + DUE_MS - 1), "CA_ROTATION_TOO_EARLY");
    await switchIssuer(ca, LIFETIME, now + DUE_MS);
    await restart();
    const chain = await issue();
    assert.ok(isUnder(chain, next) && !isUnder(chain, former));
    assert.deepEqual((await authority.roots())[0], next[0]);
    assert.equal((await authority.roots()).length, 2);

    await refused(retireRoot(ca, LIFETIME, now + 2 * DUE_MS - 1), "CA_ROTATION_TOO_EARLY");
    await retireRoot(ca, LIFETIME, now + 2 * DUE_MS);
    assert.deepEqual(await authority.roots(), next);
    assert.ok(isUnder(await issue(), next));
    await assert.rejects(readFile(join(ca, "root.key")), /ENOENT/, "the key that went is destroyed");
  });

  it("is found by whoever trusts the other one, over several replacements", async () => {
    const [first] = await authority.roots();
    assert.ok(first);
    for (let turn = 0; turn < 2; turn++) {
      await prepareRotation(ca, clusterId, now);
      const roots = await authority.roots();
      for (const trusted of roots) {
        const found = trustedRootsOf([trusted], await bundle());
        assert.deepEqual(found, roots, "each of the two leads to both");
      }
      await switchIssuer(ca, 0, now);
      await retireRoot(ca, 0, now);
    }
    const last = await authority.roots();
    assert.equal(last.length, 1);
    assert.deepEqual(trustedRootsOf([first], await bundle()), last);

    const stranger = await initCa(join(dir, "stranger"), { clusterId, names: [], address: "127.0.0.1:0" });
    const foreign = certificatesOf(await readFile(stranger.rootPem, "utf8"));
    assert.deepEqual(trustedRootsOf(foreign, await bundle()), []);
    const { crossSigned } = await bundle();
    assert.deepEqual(trustedRootsOf([first], { roots: [...last, ...foreign], crossSigned }), last);
    assert.deepEqual(
      trustedRootsOf([first], { roots: last, crossSigned: crossSigned.slice(2) }),
      [],
      "a link is missing",
    );
    const garbage = [new Uint8Array(7), ...crossSigned];
    assert.deepEqual(trustedRootsOf([first], { roots: [new Uint8Array(3), ...last], crossSigned: garbage }), last);
    assert.deepEqual(trustedRootsOf([first], { roots: crossSigned, crossSigned }), [], "a certified key is no root");
  });

  it("goes on where a crash left it", async () => {
    await prepareRotation(ca, clusterId, now);
    const published = await readFile(join(ca, "root.pem"), "utf8");
    const statePath = join(ca, "rotation.json");
    const state = JSON.parse(await readFile(statePath, "utf8")) as { former: string };
    await writeFile(statePath, JSON.stringify({ ...state, stage: "preparing" }));
    await prepareRotation(ca, clusterId, now);
    assert.equal(await readFile(join(ca, "root.pem"), "utf8"), published, "the end was not written");
    await writeFile(statePath, JSON.stringify({ ...state, stage: "preparing" }));
    await writeFile(join(ca, "root.pem"), state.former);
    await prepareRotation(ca, clusterId, now);
    assert.equal(await readFile(join(ca, "root.pem"), "utf8"), published, "only the beginning was written");
    assert.equal((await readdir(ca)).filter((name) => name.startsWith("authority-")).length, 1);

    const [former, next] = await authority.roots();
    await switchIssuer(ca, 0, now);
    await writeFile(statePath, JSON.stringify({ ...state, stage: "prepared" }));
    await switchIssuer(ca, 0, now);
    assert.deepEqual(await authority.roots(), [next, former]);
    await restart();
    assert.ok(isUnder(await issue(), [next ?? new Uint8Array()]));
    for (const der of await authority.crossSigned()) assert.ok(new X509Certificate(der).ca);
  });
});
