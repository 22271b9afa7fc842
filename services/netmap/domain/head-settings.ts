import { fromBinary } from "@bufbuild/protobuf";
import { StalePolicy } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { EffectiveSettingsSchema } from "@cloudvlan/gen/entity/v1/settings_pb.js";

/** What of the settings stands in heads. */
export interface HeadSettings {
  readonly stalePolicy: StalePolicy;
  readonly mapTtlSeconds: number;
}

/** Until registry said what is in force: one of a former version never does. */
export const FIRST_SETTINGS: HeadSettings = { stalePolicy: StalePolicy.KEEP, mapTtlSeconds: 30 * 86_400 };

const [SHORTEST_TTL, LONGEST_TTL] = [60, 90 * 86_400];

/** Undefined for bytes that are no settings, or out of range: a head with them would be refused by nodes, or never end. */
export function headSettingsOf(bytes: Uint8Array): HeadSettings | undefined {
  try {
    const { stalePolicy, mapTtlSeconds = 0 } = fromBinary(EffectiveSettingsSchema, bytes).settings ?? {};
    if (stalePolicy === undefined || stalePolicy === StalePolicy.UNSPECIFIED) return undefined;
    if (StalePolicy[stalePolicy] === undefined || mapTtlSeconds < SHORTEST_TTL || mapTtlSeconds > LONGEST_TTL) {
      return undefined;
    }
    return { stalePolicy, mapTtlSeconds };
  } catch {
    return undefined;
  }
}
