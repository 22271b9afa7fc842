import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@cloudvlan/kit/clock";
import { Refusal } from "@cloudvlan/kit/errors";
import { caClient } from "@cloudvlan/kit/ca";
import { createCsr, newTlsKey, verifyChain } from "@cloudvlan/kit/pki";
import { exportJWK, generateKeyPair } from "jose";
import { type CaFiles, initCa, PROVISIONER } from "@cloudvlan/infra/step-ca/init";
import { type RunningCa, startCa } from "@cloudvlan/infra/step-ca/start";

const uuid = "01890000-0000-7000-8000-000000000000";
const trustDomain = `cluster_${uuid}`;
const node = `spiffe://${trustDomain}/tenant/tenant_${uuid}/node/node_${uuid}`;
const binary = process.env["CLOUDVLAN_STEP_CA"] ?? "step-ca";

describe("step-ca", function () {
  this.timeout(120_000);
  let dir: string;
  let files: CaFiles;
  let ca: RunningCa;
  let root: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "ca-"));
    files = await initCa(join(dir, "ca"), { clusterId: trustDomain, names: ["127.0.0.1"], address: "127.0.0.1:0" });
    ca = await startCa(join(dir, "ca"), binary);
    root = await readFile(files.rootPem, "utf8");
  });
  after(async () => {
    await ca.stop();
    await rm(dir, { recursive: true });
  });

  const client = async (change: object = {}) =>
    caClient({
      url: ca.url,
      rootPem: () => root,
      provisionerName: PROVISIONER,
      provisionerKeyJwk: JSON.parse(await readFile(files.provisionerKey, "utf8")) as object,
      clock: systemClock,
      ...change,
    });
  const refused = (promise: Promise<unknown>, reason: string) =>
    assert.rejects(promise, (error) => error instanceof Refusal && error.reason === reason);

  it("signs exactly the identity and names asked for, for the time asked for", async () => {
    const authority = await client();
    const names = ["localhost", "127.0.0.1", "::1", "2001:DB8:0::1"];
    const controller = `spiffe://${trustDomain}/platform/controller/host-1`;
    const issued = await authority.sign(await createCsr(newTlsKey()), controller, names, 3600);
    const verdict = verifyChain(issued.chain, await authority.roots(), Date.now(), { trustDomain });
    assert.ok(verdict.ok && verdict.uri === controller);
    const seconds = (issued.notAfter.getTime() - Date.now()) / 1000;
    assert.ok(seconds > 3500 && seconds < 3700, String(seconds));
    assert.ok((await authority.sign(await createCsr(newTlsKey()), node, [], 60)).chain.length >= 2);
  });

  it("keeps keys to their owner and stays as it is when made again", async () => {
    for (const name of ["root.key", "intermediate.key", "provisioner.jwk", "ca.json"]) {
      assert.equal((await stat(join(dir, "ca", name))).mode & 0o777, 0o600, name);
    }
    const root = await readFile(files.rootPem, "utf8");
    await initCa(join(dir, "ca"), { clusterId: trustDomain, names: [], address: "127.0.0.1:0" });
    assert.equal(await readFile(files.rootPem, "utf8"), root);
    assert.ok(!(await readFile(files.config, "utf8")).includes('"d"'));
  });

  it("is not made in a folder that holds something else, and says why it does not start", async () => {
    const folder = join(dir, "broken");
    const settings = { clusterId: trustDomain, names: ["127.0.0.1"], address: "127.0.0.1:0" };
    await mkdir(folder);
    await writeFile(join(folder, "notes"), "");
    await assert.rejects(initCa(folder, settings), /holds files but no ca\.json; give an empty folder/);
    await assert.rejects(initCa(join(dir, "odd"), { ...settings, address: "nowhere" }), /not host:port/);
    await rm(folder, { recursive: true });
    const broken = await initCa(folder, settings);
    await writeFile(join(folder, "intermediate.key"), "no key");
    await assert.rejects(
      startCa(folder, binary),
      /step-ca does not run: it ended with code.*the end of .*step-ca\.log/s,
    );
    await assert.rejects(startCa(folder, join(dir, "missing")), /step-ca does not run: .*ENOENT/s);
    assert.ok((await readFile(broken.rootPem, "utf8")).includes("BEGIN CERTIFICATE"));
  });

  it("signs for very many at once", async () => {
    const authority = await client();
    const csr = await createCsr(newTlsKey());
    const issued = await Promise.all(Array.from({ length: 200 }, () => authority.sign(csr, node, [], 60)));
    assert.equal(issued.length, 200);
  });

  it("refuses a foreign provisioner key, and a client that trusts another root refuses it", async () => {
    const { privateKey } = await generateKeyPair("ES256", { extractable: true });
    const { kid } = JSON.parse(await readFile(files.provisionerKey, "utf8")) as { kid: string };
    const foreign = await client({ provisionerKeyJwk: { ...(await exportJWK(privateKey)), kid } });
    await refused(foreign.sign(await createCsr(newTlsKey()), node, [], 60), "CA_REFUSED");
    const other = await initCa(join(dir, "other"), { clusterId: trustDomain, names: [], address: "127.0.0.1:0" });
    const otherRoot = await readFile(other.rootPem, "utf8");
    const distrusting = await client({ rootPem: () => otherRoot });
    await refused(distrusting.sign(await createCsr(newTlsKey()), node, [], 60), "CA_UNREACHABLE");
  });

  it("refuses a request with something behind it, naming the field", async () => {
    const padded = Buffer.concat([await createCsr(newTlsKey()), Buffer.of(0)]);
    await assert.rejects((await client()).sign(padded, node, [], 60), (error) => {
      assert.ok(error instanceof Refusal);
      return error.kind === "invalid" && error.detail.field === "csr";
    });
  });

  it("says that it is unreachable when nothing listens, and that a port is taken", async () => {
    const nowhere = await client({ url: "https://127.0.0.1:1" });
    await refused(nowhere.sign(await createCsr(newTlsKey()), node, [], 60), "CA_UNREACHABLE");
    await assert.rejects(startCa(join(dir, "ca"), binary), /the port is taken/);
  });

  it("serves again after a restart, and refuses a lifetime out of range", async () => {
    await ca.stop();
    ca = await startCa(join(dir, "ca"), binary);
    const authority = await client();
    await authority.sign(await createCsr(newTlsKey()), node, [], 86_400);
    await assert.rejects(authority.sign(await createCsr(newTlsKey()), node, [], 9), /10 to 86400/);
    await assert.rejects(authority.sign(await createCsr(newTlsKey()), node, ["a b"], 60), /neither a DNS name/);
  });
});
