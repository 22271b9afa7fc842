import type { CertificateAuthority } from "@cloudvlan/kit/ca";
import { createCsr, newTlsKey } from "@cloudvlan/kit/pki";
import { testCa as startCa } from "@cloudvlan/kit/testing";

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
  const ca = await startCa(CLUSTER);
  const { authority } = ca;
  return {
    authority,
    roots: await authority.roots(),
    async listener() {
      const key = newTlsKey();
      const uri = `spiffe://${CLUSTER}/platform/controller/localhost`;
      const { chain } = await authority.sign(await createCsr(key), uri, ["localhost", "127.0.0.1"], 3600);
      return { key, chain };
    },
    [Symbol.asyncDispose]: () => ca[Symbol.asyncDispose](),
  };
}
