import type { ServiceName } from "../caller/index.ts";

/**
 * Which RPC services each service of the control plane may call. It stands here, and not only in each definition, because
 * a callee that runs alone has to know it too. A definition that uses more than its row does not start.
 */
export const USES: Readonly<Record<ServiceName, ReadonlySet<string>>> = {
  auth: new Set(),
  registry: new Set(["cloudvlan.auth.v1.AuthService", "cloudvlan.auth.v1.CertificateService"]),
  policy: new Set(["cloudvlan.auth.v1.AuthService", "cloudvlan.registry.v1.RegistryService"]),
  netmap: new Set([
    "cloudvlan.auth.v1.AuthService",
    "cloudvlan.registry.v1.RegistryService",
    "cloudvlan.registry.v1.NodeService",
    "cloudvlan.policy.v1.PolicyService",
  ]),
};

/** What the chassis of every service asks of auth: authority of people, and who is denied. */
export const CHASSIS_METHODS: ReadonlySet<string> = new Set([
  "cloudvlan.auth.v1.AuthService.Authenticate",
  "cloudvlan.auth.v1.AuthService.GetContextKeys",
  "cloudvlan.auth.v1.AuthService.WatchChanges",
]);
