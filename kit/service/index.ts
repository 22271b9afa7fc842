import type { DescService } from "@bufbuild/protobuf";
import type { Client, ConnectRouter } from "@connectrpc/connect";
import type * as z from "zod";
import type { AuditLog } from "../audit/index.ts";
import type { ServiceName } from "../caller/index.ts";
import type { ChangeStreams } from "../changes/index.ts";
import type { Clock } from "../clock/index.ts";
import type { Database } from "../db/index.ts";
import type { KeyProvider } from "../keys/index.ts";
import type { Logger } from "../log/index.ts";
import type { CertificateAuthority } from "../ca/index.ts";
import type { SecretTable } from "../rekey/index.ts";
import type { FrameStream, Standings } from "../server/index.ts";
import type { LiveStreams } from "../server/live.ts";

export { compose, type ComposeDeps, type Composition } from "./compose.ts";
export { run } from "./run.ts";

/** What a service is. Its folder's `service.ts` exports one; `main.ts` runs it alone, `services/all` runs several. */
export interface ServiceDefinition<C = unknown> {
  readonly name: ServiceName;
  /** Strict: an unknown key is an error. */
  readonly config: z.ZodType<C>;
  /** RPC services it serves. */
  readonly provides: readonly DescService[];
  /** RPC services it calls. A client for any other is refused. */
  readonly uses: readonly DescService[];
  /** Folder of its drizzle migrations. */
  readonly migrations: string;
  /** Its tables with seals or wrapped secrets, for the replacement of the master key. */
  readonly secrets?: readonly SecretTable[];
  build(context: ServiceContext<C>): Promise<BuiltService>;
}

export interface ServiceContext<C> {
  /** Trust domain of the installation. */
  readonly clusterId: string;
  /** Folder of the process, for its owner alone; for what must not be in the database. */
  readonly data: string;
  /** Base URL at which nodes and people reach the control plane. */
  readonly url: string;
  readonly config: C;
  readonly log: Logger;
  readonly clock: Clock;
  readonly db: Database;
  readonly changes: ChangeStreams;
  readonly audit: AuditLog;
  readonly keys: KeyProvider;
  /** step-ca, for the service that mints. */
  readonly ca: CertificateAuthority;
  /** Typed client of a used service: in process when it runs here, gRPC over mTLS when an endpoint is configured. */
  readonly client: <S extends DescService>(service: S) => Client<S>;
  /** Streams that are open now, by identity: what revocation cuts. */
  readonly live: LiveStreams;
  /** Has the listener of this process refuse an identity from now on, before the stream of denials tells everybody. */
  readonly denyHere: (subject: string, issuedBefore: number) => void;
  /** True when this process ever heard that the identity is denied, whatever the database says now. */
  readonly isDeniedHere: (subject: string) => boolean;
  /** Subjects that this process heard to be denied in former lives, whatever the database says now. */
  readonly deniedBefore: readonly string[];
  /** Which tenants are suspended, as this process knows; who changes one tells it here, before the stream tells everybody. */
  readonly standings: Standings;
}

export interface BuiltService {
  routes(router: ConnectRouter): void;
  /** Server streams served as ready-made frames (DESIGN section 6, Bytes). */
  readonly frames?: readonly FrameStream[];
  /** Work beside the requests; restarted with backoff when it throws. */
  readonly jobs?: readonly Job[];
}

export interface Job {
  readonly name: string;
  run(signal: AbortSignal): Promise<void>;
}

export function defineService<C>(definition: ServiceDefinition<C>): ServiceDefinition<C> {
  return definition;
}
