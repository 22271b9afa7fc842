import type { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import type { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import type { NodeService, RegistryService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import type { AuditLog } from "@cloudvlan/kit/audit";
import type { Clock } from "@cloudvlan/kit/clock";
import type { Database } from "@cloudvlan/kit/db";
import type { DelegatedKeys } from "@cloudvlan/kit/delegation";
import type { KeyProvider } from "@cloudvlan/kit/keys";
import type { Logger } from "@cloudvlan/kit/log";
import type { Standings } from "@cloudvlan/kit/server";
import type { Client } from "@connectrpc/connect";
import type { NetmapConfig } from "../config.ts";
import type { Keysets } from "./keysets.ts";

/** What the live part of netmap works with. */
export interface NetmapContext {
  readonly config: NetmapConfig;
  readonly log: Logger;
  readonly clock: Clock;
  readonly db: Database;
  readonly keys: KeyProvider;
  readonly audit: AuditLog;
  readonly auth: Client<typeof AuthService>;
  readonly registry: Client<typeof RegistryService>;
  readonly nodes: Client<typeof NodeService>;
  readonly policy: Client<typeof PolicyService>;
  readonly keysets: Keysets;
  /** Which tenants are suspended. */
  readonly standings: Pick<Standings, "of" | "isSuspended" | "onChange">;
  /** They sign heads. */
  readonly mapKeys: DelegatedKeys;
}
