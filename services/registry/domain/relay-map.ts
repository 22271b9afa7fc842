import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type RelayMap, RelayMapSchema, SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { isAccepted, type RoleKey, type SigningKey, signRecord } from "@cloudvlan/kit/sign";
import { parseEndpoint } from "./server-endpoints.ts";

/** Servers that nodes take of a relay map. */
export const MAX_SERVERS = 64;

/** A server as relay maps have it, every part from a sealed row. */
export interface RelayServer {
  readonly id: string;
  readonly regionName: string;
  /** As `checkEndpoints` gave them. */
  readonly endpoints: readonly string[];
}

/** The relay map of a cvlan at a revision, signed; serialised `Signed`. */
export function signServers(
  key: SigningKey,
  cvlan: { readonly tenantId: string; readonly cvlanId: string },
  servers: readonly RelayServer[],
  recordRevision: bigint,
): Uint8Array {
  const { tenantId, cvlanId } = cvlan;
  const record = recordOf(servers, { tenantId, cvlanId, recordRevision });
  return toBinary(SignedSchema, signRecord(key, "relay-map", toBinary(RelayMapSchema, record)));
}

/** The stored record when a key of the role signed it for this cvlan; undefined otherwise. */
export function openRelayMap(
  key: RoleKey,
  row: { readonly cvlanId: string; readonly record: Uint8Array },
): RelayMap | undefined {
  try {
    const signed = fromBinary(SignedSchema, row.record);
    if (!isAccepted(key, "relay-map", signed)) return undefined;
    const record = fromBinary(RelayMapSchema, signed.payload);
    return record.cvlanId === row.cvlanId ? record : undefined;
  } catch {
    return undefined;
  }
}

/** True when a record names these servers and says the same of them. */
export function names({ servers }: RelayMap, wanted: readonly RelayServer[]): boolean {
  const bytes = (record: RelayMap): Uint8Array => toBinary(RelayMapSchema, record);
  return Buffer.compare(bytes(create(RelayMapSchema, { servers })), bytes(recordOf(wanted))) === 0;
}

type Origin = Pick<RelayMap, "tenantId" | "cvlanId" | "recordRevision">;

function recordOf(servers: readonly RelayServer[], of: Partial<Origin> = {}): RelayMap {
  return create(RelayMapSchema, {
    ...of,
    servers: servers.map(({ id, regionName, endpoints }) => ({
      id,
      region: regionName,
      endpoints: endpoints.map(parseEndpoint),
    })),
  });
}
