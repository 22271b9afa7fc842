import type { AuthService, CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import type { Settings } from "@cloudvlan/gen/entity/v1/settings_pb.js";
import type { AuditLog } from "@cloudvlan/kit/audit";
import type { ChangeStreams } from "@cloudvlan/kit/changes";
import type { Clock } from "@cloudvlan/kit/clock";
import type { Database } from "@cloudvlan/kit/db";
import type { DelegatedKeys } from "@cloudvlan/kit/delegation";
import type { KeyProvider } from "@cloudvlan/kit/keys";
import type { Logger } from "@cloudvlan/kit/log";
import type { Client } from "@connectrpc/connect";
import type { RegistryConfig } from "./config.ts";
import type { Seals } from "./seals.ts";

/** What the handlers work with. */
export interface RegistryDeps extends SigningDeps {
  /** They sign node and DNS records and relay maps. */
  readonly enrolKeys: DelegatedKeys;
}

/** The same without the keys: what they sign with is given. */
export interface SigningDeps {
  readonly clusterId: string;
  /** Base URL that join strings name. */
  readonly url: string;
  readonly config: RegistryConfig;
  /** Settings of the platform's layer; every field set. */
  readonly defaults: Settings;
  readonly log: Logger;
  readonly clock: Clock;
  readonly db: Database;
  readonly changes: ChangeStreams;
  readonly audit: AuditLog;
  readonly keys: KeyProvider;
  readonly seals: Seals;
  readonly auth: Client<typeof AuthService>;
  readonly certificates: Client<typeof CertificateService>;
}
