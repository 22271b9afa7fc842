import { create, toBinary } from "@bufbuild/protobuf";
import { AuthService, CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { type DelegatedKey, KeysetSchema, type Signed } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import type { TenantId } from "@cloudvlan/kit/ids";
import { newSigningSeed, type SigningKey, signingKeyFromSeed, signRecord } from "@cloudvlan/kit/sign";
import type { ConnectRouter } from "@connectrpc/connect";

interface Tenant {
  readonly root: SigningKey;
  readonly keys: DelegatedKey[];
}

/**
 * auth at the other end of registry's calls, for no service may import another: it keeps root keys in memory and can be
 * made to fail, as a network does. The two together are tested in the contract tests.
 */
export interface AuthPeer {
  readonly caRoot: Uint8Array;
  newTenant(tenantId: TenantId): void;
  rootOf(tenantId: TenantId): SigningKey;
  /** The public key that may sign node records. */
  enrolKey(tenantId: TenantId): Uint8Array;
  readonly denied: string[];
  readonly minted: string[];
  /** RPCs that do not answer. */
  readonly down: Set<"mintCertificate" | "deny">;
  routes(router: ConnectRouter): void;
}

export function authPeer(): AuthPeer {
  const tenants = new Map<string, Tenant>();
  const down = new Set<"mintCertificate" | "deny">();
  const [denied, minted]: [string[], string[]] = [[], []];
  const caRoot = new TextEncoder().encode("root certificate");

  function tenantOf(id: string): Tenant {
    const tenant = tenants.get(id);
    if (!tenant) throw refusal("not_found", "TENANT_NOT_FOUND");
    return tenant;
  }
  function keysetOf(id: string): Signed {
    const { root, keys } = tenantOf(id);
    const keyset = create(KeysetSchema, { tenantId: id, version: BigInt(keys.length), keys });
    return signRecord(root, "keyset", toBinary(KeysetSchema, keyset));
  }
  function reach(rpc: "mintCertificate" | "deny"): void {
    if (down.has(rpc)) throw refusal("unavailable", "UPSTREAM_UNAVAILABLE");
  }

  return {
    caRoot,
    denied,
    minted,
    down,
    newTenant: (id) => tenants.set(id, { root: signingKeyFromSeed("root", newSigningSeed()), keys: [] }),
    rootOf: (id) => tenantOf(id).root,
    enrolKey: (id) => {
      const [key] = tenantOf(id).keys;
      if (!key) throw new Error("no key was delegated");
      return key.publicKey;
    },
    routes: (router) => {
      router.service(AuthService, {
        delegateKey: ({ tenantId, role, publicKey }) => {
          const { keys, root } = tenantOf(tenantId);
          const known = keys.find((key) => Buffer.compare(key.publicKey, publicKey) === 0);
          const keyId = known?.keyId ?? `key_${keys.length}`;
          if (!known) keys.push({ $typeName: "cloudvlan.entity.v1.DelegatedKey", keyId, role, publicKey });
          return { keyId, keyset: keysetOf(tenantId), rootPublicKey: root.publicKey };
        },
        getKeyset: ({ tenantId }) => ({ keyset: keysetOf(tenantId), rootPublicKey: tenantOf(tenantId).root.publicKey }),
        deny: ({ nodeId }) => {
          reach("deny");
          denied.push(nodeId);
          return { revision: BigInt(denied.length) };
        },
      });
      router.service(CertificateService, {
        getTrustBundle: () => ({ bundle: { roots: [caRoot] } }),
        mintCertificate: ({ nodeId }) => {
          reach("mintCertificate");
          minted.push(nodeId);
          return { certificate: { spiffeId: nodeId }, bundle: { roots: [caRoot] } };
        },
      });
    },
  };
}

function refusal(kind: "not_found" | "unavailable", reason: string): Error {
  return new Refusal(kind, reason, reason).toConnectError();
}
