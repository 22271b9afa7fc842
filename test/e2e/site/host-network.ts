import { must } from "@cloudvlan/test/lab";
import * as z from "zod";

/** Addresses, routes of all tables and routing rules of a machine, each a line, sorted. */
export interface HostNetwork {
  readonly addresses: readonly string[];
  readonly routes: readonly string[];
  readonly rules: readonly string[];
}

const links = z.array(
  z.object({ ifname: z.string(), addr_info: z.array(z.object({ local: z.string(), prefixlen: z.int() })) }),
);
const text = z.string().optional();
const routes = z.array(
  z.object({
    type: text,
    dst: z.string(),
    gateway: text,
    dev: text,
    table: text,
    protocol: text,
    metric: z.int().optional(),
  }),
);

/** The kernel makes and renews these by itself on any interface (RFC 4291 sections 2.5.6 and 2.7). */
const OF_THE_LINK = /^((local|anycast|multicast) )?(fe80|ff00):/;

/** @param argvOn the command line that runs a command on the machine */
export async function hostNetwork(argvOn: (argv: readonly string[]) => string[]): Promise<HostNetwork> {
  const ip = async (...argv: readonly string[]): Promise<unknown> =>
    JSON.parse((await must(argvOn(["ip", "-json", ...argv]))).trim() || "[]");
  const families = (["-4", "-6"] as const).map((family) => ({
    routes: ip(family, "route", "show", "table", "all"),
    rules: must(argvOn(["ip", family, "rule", "show"])),
  }));
  const addresses = links
    .parse(await ip("address", "show"))
    .flatMap(({ ifname, addr_info }) => addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen} dev ${ifname}`));
  const shown = await Promise.all(families.map(async ({ routes: table }) => routes.parse(await table)));
  const rules = await Promise.all(families.map(async (family) => (await family.rules).trim().split("\n")));
  return {
    addresses: sorted(addresses),
    routes: sorted(
      shown.flat().map(({ type = "unicast", dst, gateway, dev, table = "main", protocol, metric }) => {
        const kind = type === "unicast" ? "" : `${type} `;
        return `${kind}${dst} via ${gateway ?? "-"} dev ${dev ?? "-"} table ${table} proto ${protocol} metric ${metric ?? 0}`;
      }),
    ),
    rules: sorted(rules.flat()),
  };
}

/** What `network` has and `other` has not. */
export function without(network: HostNetwork, other: HostNetwork): HostNetwork {
  const less = (key: keyof HostNetwork) => network[key].filter((line) => !other[key].includes(line));
  return { addresses: less("addresses"), routes: less("routes"), rules: less("rules") };
}

function sorted(lines: readonly string[]): string[] {
  return lines.filter((line) => !OF_THE_LINK.test(line)).toSorted((a, b) => (a < b ? -1 : 1));
}
