import { create } from "@bufbuild/protobuf";
import { type DnsRoute, DnsRouteSchema, DnsUpstreamSchema, StalePolicy } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { DnsRoutesSchema, type Settings } from "@cloudvlan/gen/entity/v1/settings_pb.js";
import { durationSeconds, splitDestination } from "./args.ts";
import { UsageError } from "./exit.ts";
import { printable, span, word } from "./print.ts";

/** Names of the settings on the command line, as fields of the proto are called, with hyphens. */
export const KEYS = ["stale-policy", "map-ttl", "join-token-max-ttl", "dns-route"] as const;
type Key = (typeof KEYS)[number];

/** Field of `EffectiveSettings.decided_by` of each. */
export const FIELDS: Readonly<Record<Key, string>> = {
  "stale-policy": "stale_policy",
  "map-ttl": "map_ttl_seconds",
  "join-token-max-ttl": "join_token_max_ttl_seconds",
  "dns-route": "dns_routes",
};

function keyOf(text: string): Key {
  const key = KEYS.find((known) => known === text);
  if (key === undefined)
    throw new UsageError(`there is no setting ${JSON.stringify(text)}`, `one of ${KEYS.join(", ")}`);
  return key;
}

/**
 * Sets what `key=value` arguments say. All routes that are given replace those that there were.
 * @throws UsageError
 */
export function setAll(settings: Settings, pairs: readonly string[]): void {
  const routes: DnsRoute[] = [];
  let areRoutesGiven = false;
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    if (at < 1) throw new UsageError(`${JSON.stringify(pair)} is no setting`, "write settings like map-ttl=7d");
    const value = pair.slice(at + 1);
    switch (keyOf(pair.slice(0, at))) {
      case "stale-policy":
        settings.stalePolicy = stalePolicyOf(value);
        break;
      case "map-ttl":
        settings.mapTtlSeconds = durationSeconds(value);
        break;
      case "join-token-max-ttl":
        settings.joinTokenMaxTtlSeconds = durationSeconds(value);
        break;
      case "dns-route":
        areRoutesGiven = true;
        if (value !== "none") routes.push(routeOf(value));
    }
  }
  if (areRoutesGiven) settings.dnsRoutes = create(DnsRoutesSchema, { routes });
}

/** Leaves settings to the layer above. @throws UsageError */
export function unsetAll(settings: Settings, keys: readonly string[]): void {
  for (const key of keys) {
    switch (keyOf(key)) {
      case "stale-policy":
        delete settings.stalePolicy;
        break;
      case "map-ttl":
        delete settings.mapTtlSeconds;
        break;
      case "join-token-max-ttl":
        delete settings.joinTokenMaxTtlSeconds;
        break;
      case "dns-route":
        delete settings.dnsRoutes;
    }
  }
}

const POLICIES: ReadonlyMap<string, StalePolicy> = new Map([
  ["keep", StalePolicy.KEEP],
  ["no-new-flows", StalePolicy.NO_NEW_FLOWS],
  ["stop", StalePolicy.STOP],
]);

function stalePolicyOf(text: string): StalePolicy {
  const policy = POLICIES.get(text);
  if (policy === undefined) {
    throw new UsageError(`${JSON.stringify(text)} is no stale policy`, `one of ${[...POLICIES.keys()].join(", ")}`);
  }
  return policy;
}

/** `suffix@server,server`. */
function routeOf(text: string): DnsRoute {
  const [suffix = "", servers = "", ...rest] = text.split("@");
  if (suffix === "" || servers === "" || rest.length > 0) {
    throw new UsageError(
      `${JSON.stringify(text)} is no DNS route`,
      "write it like corp.example@10.0.0.53,[fd00::53]:5353, or none for no route at all",
    );
  }
  const upstreams = servers.split(",").map((server) => {
    const { host: address, port } = splitDestination(server);
    return create(DnsUpstreamSchema, { address, port });
  });
  return create(DnsRouteSchema, { suffix, upstreams });
}

/** What a layer, or all of them, say of a setting; empty where nothing is said. */
export function textOf(settings: Settings | undefined, key: Key): string {
  switch (key) {
    case "stale-policy":
      return settings?.stalePolicy === undefined ? "" : word(StalePolicy[settings.stalePolicy]);
    case "map-ttl":
      return settings?.mapTtlSeconds === undefined ? "" : span(settings.mapTtlSeconds * 1000);
    case "join-token-max-ttl":
      return settings?.joinTokenMaxTtlSeconds === undefined ? "" : span(settings.joinTokenMaxTtlSeconds * 1000);
    case "dns-route": {
      if (!settings?.dnsRoutes) return "";
      const { routes } = settings.dnsRoutes;
      return routes.length === 0 ? "none" : routes.map(routeText).join(" ");
    }
  }
}

function routeText({ suffix, upstreams }: DnsRoute): string {
  const servers = upstreams.map(({ address, port }) => {
    if (port === 0) return address;
    return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
  });
  return printable(`${suffix}@${servers.join(",")}`);
}
