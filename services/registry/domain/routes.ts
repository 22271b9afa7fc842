import { Refusal } from "@cloudvlan/kit/errors";
import { formatPrefix, overlaps, parsePrefix } from "@cloudvlan/kit/net";
import { poolsOf, reservedFor } from "./pool.ts";

/**
 * The prefixes behind a node, checked and in canonical text, each once, sorted.
 * @throws Refusal `invalid` naming the route.
 */
export function checkRoutes(prefixes: readonly string[], cvlan: { ipv4Pool: string; ipv6Prefix: string }): string[] {
  const pools = poolsOf(cvlan);
  const checked = prefixes.map((text, index) => {
    const field = `routes.routes[${index}].prefix`;
    const prefix = parsePrefix(text);
    if (!prefix) {
      throw new Refusal("invalid", "ROUTE_MALFORMED", "the route is no prefix, or has bits after its length", {
        field,
        remedy: "write it as in 192.168.10.0/24 or fd00:1::/48",
      });
    }
    const pool = pools.find((own) => overlaps(own, prefix));
    if (pool) {
      throw new Refusal("invalid", "ROUTE_OVERLAPS_POOL", `the route overlaps the cvlan's own ${formatPrefix(pool)}`, {
        field,
        remedy: "announce only networks behind the node",
      });
    }
    const reserved = reservedFor(prefix);
    if (reserved !== undefined) {
      throw new Refusal("invalid", "ROUTE_RESERVED", `the route overlaps ${reserved}`, {
        field,
        remedy: "announce only networks behind the node",
      });
    }
    return formatPrefix(prefix);
  });
  return [...new Set(checked)].toSorted();
}
