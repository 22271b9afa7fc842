import type { JsonValue } from "@bufbuild/protobuf";
import { formatAddress, parseAddress } from "@cloudvlan/kit/net";

/** What a value is, which is all that stays of it. */
export type Kind = "name" | "id" | "domain" | "key" | "mac" | "ipv4" | "ipv6";

/** Replaces what tells whose machine this is: the same by the same, within one bundle. */
export interface Anonymiser {
  /** Takes a value that no pattern would find, or another spelling of one. Empty values are passed over. */
  know(kind: Kind, value: string, sameAs?: string): void;
  text(text: string): string;
  /** Strings at any depth; names of fields stay. */
  json(value: JsonValue): JsonValue;
}

/** Addresses that say nothing about anybody. */
const EVERYONES: ReadonlySet<string> = new Set(["0.0.0.0", "127.0.0.1", "127.0.0.53", "127.0.0.54", "::", "::1"]);

/** Last parts of file names and identifiers, which would look like domains. */
const NO_DOMAIN =
  /\.(sock|log|next|pending|previous|pem|key|conf|json|yaml|yml|ts|mjs|js|rs|proto|service|txt|md|gz|tar|lock|internal\.rs)$/i;

const NOT_BEFORE = "(?<![A-Za-z0-9])";
const NOT_AFTER = "(?![A-Za-z0-9])";

/** In the order in which they are tried at each place: the longer sense before the shorter. */
const PATTERNS: readonly (readonly [Kind, string])[] = [
  ["id", "(?:[a-z]+_)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"],
  ["mac", "[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}"],
  ["key", "[A-Za-z0-9+/]{43}="],
  ["key", "[0-9a-fA-F]{64}"],
  ["ipv6", "(?<!:)[0-9a-fA-F]{0,4}:[0-9a-fA-F:]*:[0-9a-fA-F:.]*"],
  ["ipv4", "\\d{1,3}(?:\\.\\d{1,3}){3}"],
  ["domain", "(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9])?\\.)+[A-Za-z]{2,24}"],
];

export function anonymiser(): Anonymiser {
  const pseudonyms = new Map<string, string>();
  const counts = new Map<Kind, number>();
  const known = new Map<string, Kind>();
  const aliases = new Map<string, string>();
  let finder: RegExp | undefined;

  function pseudonymOf(kind: Kind, value: string): string {
    const familiar = pseudonyms.get(value);
    if (familiar !== undefined) return familiar;
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    const made = `${kind}-${count}`;
    pseudonyms.set(value, made);
    return made;
  }

  function replaced(kind: Kind, spelled: string): string {
    const value = aliases.get(spelled) ?? spelled;
    if (kind === "ipv4" || kind === "ipv6") {
      const address = parseAddress(value);
      const canonical = address && formatAddress(address);
      return canonical === undefined || EVERYONES.has(canonical) ? spelled : pseudonymOf(kind, canonical);
    }
    if (kind === "domain" && NO_DOMAIN.test(value)) return spelled;
    return pseudonymOf(kind, value);
  }

  /** One expression for all, so that what was replaced is not looked at again. */
  function finderNow(): RegExp {
    const values = [...known.keys()].sort((a, b) => b.length - a.length).map((value) => RegExp.escape(value));
    const patterns = PATTERNS.map(([, pattern]) => `(${pattern})`);
    const exact = values.length > 0 ? `(${values.join("|")})` : "([^\\s\\S])";
    return new RegExp(`${NOT_BEFORE}(?:${[...patterns, exact].join("|")})${NOT_AFTER}`, "g");
  }

  function text(original: string): string {
    finder ??= finderNow();
    return original.replace(finder, (match, ...groups: unknown[]) => {
      const index = groups.findIndex((group) => group !== undefined);
      const kind = PATTERNS[index]?.[0] ?? known.get(match) ?? "name";
      const hidden = replaced(kind, match);
      // A name may stand in what only looked like something else.
      return hidden === match && index < PATTERNS.length ? inside(match) : hidden;
    });
  }

  function inside(match: string): string {
    let rest = match;
    for (const [value, kind] of known) {
      rest = rest.replaceAll(new RegExp(`${NOT_BEFORE}${RegExp.escape(value)}${NOT_AFTER}`, "g"), () =>
        pseudonymOf(kind, value),
      );
    }
    return rest;
  }

  return {
    know(kind, value, sameAs) {
      if (value === "" || known.has(value)) return;
      known.set(value, kind);
      if (sameAs !== undefined) aliases.set(value, sameAs);
      finder = undefined;
    },
    text,
    json(value) {
      if (typeof value === "string") return text(value);
      if (Array.isArray(value)) return value.map((each) => this.json(each));
      if (typeof value !== "object" || value === null) return value;
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, this.json(each)]));
    },
  };
}
