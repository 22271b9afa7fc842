import { EventEmitter, once } from "node:events";
import { AuthService, CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { Status } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import type { TenantId } from "@cloudvlan/kit/ids";
import type { SigningKey } from "@cloudvlan/kit/sign";
import { type Delegator, delegator } from "@cloudvlan/kit/testing";
import type { ConnectRouter } from "@connectrpc/connect";

/**
 * auth at the other end of registry's calls, for no service may import another: it keeps root keys in memory and can be
 * made to fail, as a network does. The two together are tested in the contract tests.
 */
export interface AuthPeer {
  readonly caRoot: Uint8Array;
  newTenant(tenantId: TenantId): void;
  /** Tells those who follow. */
  deleteTenant(tenantId: TenantId): void;
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
  const tenants = new Map<string, Delegator>();
  const down = new Set<"mintCertificate" | "deny">();
  const [denied, minted, deleted]: [string[], string[], string[]] = [[], [], []];
  const told = new EventEmitter();
  const caRoot = new TextEncoder().encode("root certificate");

  function tenantOf(id: string): Delegator {
    const tenant = tenants.get(id);
    if (!tenant) throw refusal("not_found", "TENANT_NOT_FOUND");
    return tenant;
  }
  function reach(rpc: "mintCertificate" | "deny"): void {
    if (down.has(rpc)) throw refusal("unavailable", "UPSTREAM_UNAVAILABLE");
  }

  return {
    caRoot,
    deleteTenant(id) {
      tenants.delete(id);
      deleted.push(id);
      told.emit("deleted");
    },
    denied,
    minted,
    down,
    newTenant: (id) => tenants.set(id, delegator(id)),
    rootOf: (id) => tenantOf(id).root,
    enrolKey: (id) => {
      const [key] = tenantOf(id).keys;
      if (!key) throw new Error("no key was delegated");
      return key.publicKey;
    },
    routes: (router) => {
      router.service(AuthService, {
        delegateKey: ({ tenantId, role, publicKey }) => tenantOf(tenantId).delegate(role, publicKey),
        async *watchChanges({ since }, { signal }) {
          for (let at = Number(since); !signal.aborted; at = deleted.length) {
            const changes = deleted.slice(at).map((tenantId) => ({
              change: { case: "tenant" as const, value: { tenantId, status: Status.DELETED, revision: 3n } },
            }));
            yield { changes, revision: BigInt(deleted.length) };
            await once(told, "deleted", { signal }).catch(() => undefined);
          }
        },
        getKeyset: ({ tenantId }) => {
          const tenant = tenantOf(tenantId);
          return { keyset: tenant.keyset(), rootPublicKey: tenant.root.publicKey };
        },
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
