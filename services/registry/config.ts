import { create } from "@bufbuild/protobuf";
import { DnsRouteSchema, DnsUpstreamSchema, StalePolicy } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { type Settings, SettingsSchema } from "@cloudvlan/gen/entity/v1/settings_pb.js";
import { z } from "zod";

const DAY = 86_400;
const LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?";

const upstream = z.strictObject({
  address: z.union([z.ipv4(), z.ipv6()]),
  /** 0 means 53. */
  port: z.int().min(0).max(65_535).default(0),
});

/** Defaults of the installation: what is in force where nobody sets anything else (`cvlan settings`). */
const settings = z.strictObject({
  /** What a node does with a map that is stale. */
  stale_policy: z.enum(["keep", "no_new_flows", "stop"]).default("keep"),
  /** Seconds until a map that is not renewed is stale: 1 minute to 90 days. */
  map_ttl_seconds: z
    .int()
    .min(60)
    .max(90 * DAY)
    .default(30 * DAY),
  /** Longest life of a join token, seconds: 1 to a week. No layer below gives more. */
  join_token_max_ttl_seconds: z
    .int()
    .min(1)
    .max(7 * DAY)
    .default(7 * DAY),
  /** Suffixes that other servers answer for. */
  dns_routes: z
    .array(
      z.strictObject({
        suffix: z
          .string()
          .max(253)
          .regex(new RegExp(`^(${LABEL}\\.)*${LABEL}$`), "must be a domain in lower case without a trailing dot"),
        upstreams: z.array(upstream).min(1).max(4),
      }),
    )
    .max(64)
    .default([]),
});

export const config = z.strictObject({
  /** Seconds a freed address stays unused: longer than the oldest map a node may still act on. */
  address_quarantine_seconds: z
    .number()
    .int()
    .min(0)
    .max(10 * 365 * DAY)
    .default(30 * DAY),
  settings: settings.prefault({}),
});

export type RegistryConfig = z.infer<typeof config>;

const STALE_POLICIES = {
  keep: StalePolicy.KEEP,
  no_new_flows: StalePolicy.NO_NEW_FLOWS,
  stop: StalePolicy.STOP,
} as const satisfies Record<RegistryConfig["settings"]["stale_policy"], StalePolicy>;

/** The platform's layer, every field set. */
export function defaultsOf({ settings: given }: RegistryConfig): Settings {
  return create(SettingsSchema, {
    stalePolicy: STALE_POLICIES[given.stale_policy],
    mapTtlSeconds: given.map_ttl_seconds,
    joinTokenMaxTtlSeconds: given.join_token_max_ttl_seconds,
    dnsRoutes: {
      routes: given.dns_routes.map(({ suffix, upstreams }) =>
        create(DnsRouteSchema, { suffix, upstreams: upstreams.map((each) => create(DnsUpstreamSchema, each)) }),
      ),
    },
  });
}
