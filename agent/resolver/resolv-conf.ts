import { isIP } from "node:net";

/** Name servers that the engine takes as its fallback. */
const MAX_NAMESERVERS = 8;

/** What resolv.conf(5) says, as far as it matters here. */
export interface ResolvConf {
  /** Addresses; those of a link (`fe80::1%eth0`) are left out. */
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
  /** `options` and `sortlist` lines as they stand. */
  readonly others: readonly string[];
}

/** Reads a file. What is not understood is left out, as the C library does. */
export function parseResolvConf(text: string): ResolvConf {
  const nameservers: string[] = [];
  const others: string[] = [];
  let search: string[] = [];
  for (const line of text.split("\n")) {
    const [keyword, ...words] = line.split(/[ \t\r]+/).filter((word) => word !== "");
    const [first = ""] = words;
    if (keyword === "nameserver" && isIP(first) !== 0 && !first.includes("%") && !nameservers.includes(first)) {
      if (nameservers.length < MAX_NAMESERVERS) nameservers.push(first);
    } else if (keyword === "search") search = words;
    else if (keyword === "domain") search = words.slice(0, 1);
    else if (keyword === "options" || keyword === "sortlist") others.push(line.trimEnd());
  }
  return { nameservers, search, others };
}

/** What is to be resolved through the engine. */
export interface Names {
  /** Address of the engine's listener, port 53. */
  readonly server: string;
  /** Domain of the overlay. */
  readonly domain: string;
}

/** First line of a file of ours. */
const MARK = "# cvlan-agent ";

/** The line that says whose file it is. */
export function markOf(nodeId: string): string {
  return `${MARK}${nodeId}`;
}

/** The mark that a file bears, of whatever membership. */
export function markIn(text: string): string | undefined {
  const [first = ""] = text.split("\n", 1);
  return first.startsWith(MARK) ? first : undefined;
}

/** The file while names are resolved through the engine. The search domain of the overlay comes first. */
export function composeResolvConf(mark: string, state: string, former: ResolvConf, { server, domain }: Names): string {
  const search = [domain, ...former.search.filter((each) => each.toLowerCase() !== domain)];
  const lines = [
    mark,
    `# The former file is put back when the engine ends, or by \`cvlan-agent --restore-host --state ${state}\`.`,
    "# It is left alone with `resolver: off` in the configuration of the agent.",
    `nameserver ${server}`,
    `search ${search.join(" ")}`,
    ...former.others,
  ];
  return `${lines.join("\n")}\n`;
}
