import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@cloudvlan/kit/clock";
import { caClient, type CertificateAuthority } from "@cloudvlan/kit/ca";
import { createCsr, newTlsKey } from "@cloudvlan/kit/pki";
import { initCa, PROVISIONER } from "@cloudvlan/infra/step-ca/init";
import { startCa } from "@cloudvlan/infra/step-ca/start";

const UUID = "01890000-0000-7000-8000-000000000000";
export const CLUSTER = `cluster_${UUID}`;
export const TENANT = `tenant_${UUID}`;
export const CVLAN = `cvlan_${UUID}`;
export const NODE = `node_${UUID}`;
export const NODE_URI = `spiffe://${CLUSTER}/tenant/${TENANT}/node/${NODE}`;

export interface TestCa extends AsyncDisposable {
  readonly authority: CertificateAuthority;
  readonly roots: readonly Uint8Array[];
  /** A key and certificate of the platform for a listener on loopback. */
  listener(): Promise<{ key: string; chain: readonly Uint8Array[] }>;
}

/** A real step-ca on loopback. */
export async function testCa(): Promise<TestCa> {
  const dir = await mkdtemp(join(tmpdir(), "cvlan-ca-"));
  const settings = { clusterId: CLUSTER, names: ["127.0.0.1"], address: "127.0.0.1:0" };
  const files = await initCa(join(dir, "ca"), settings);
  const ca = await startCa(join(dir, "ca"), process.env["CLOUDVLAN_STEP_CA"] ?? "step-ca");
  const authority = caClient({
    url: ca.url,
    rootPem: await readFile(files.rootPem, "utf8"),
    provisionerName: PROVISIONER,
    provisionerKeyJwk: JSON.parse(await readFile(files.provisionerKey, "utf8")) as object,
    clock: systemClock,
  });
  return {
    authority,
    roots: await authority.roots(),
    async listener() {
      const key = newTlsKey();
      const uri = `spiffe://${CLUSTER}/platform/controller/localhost`;
      const { chain } = await authority.sign(createCsr(key), uri, ["localhost", "127.0.0.1"], 3600);
      return { key, chain };
    },
    async [Symbol.asyncDispose]() {
      await ca.stop();
      await rm(dir, { recursive: true });
    },
  };
}
