import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type DnsRecord, DnsRecordSchema, type DnsRoute, SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import type { Prefix } from "@cloudvlan/kit/net";
import { isAccepted, type RoleKey, type SigningKey, signRecord } from "@cloudvlan/kit/sign";
import { getPublicSuffix } from "tldts";

/** Under `internal`, which the root zone leaves to private networks (ICANN resolution 2024.07.29.06). */
const DEFAULT_PARENT = "cvlan.internal";
const LONGEST_LABEL = 63;

/** Domains that resolvers treat by rules of their own (RFC 6761, RFC 6762, RFC 7686). */
const SPECIAL = ["localhost", "local", "invalid", "onion", "in-addr.arpa", "ip6.arpa"];

/** Domain of the nodes of a cvlan whose operator names none. */
export function defaultDomain(cvlanName: string): string {
  return `${cvlanName}.${DEFAULT_PARENT}`;
}

/** A domain that no other cvlan has, for one whose default is taken: cut so that it stays a DNS label. */
export function uniqueDomain(cvlan: { readonly id: string; readonly name: string }): string {
  const suffix = `-${cvlan.id.slice(-12)}`;
  return defaultDomain(cvlan.name.slice(0, LONGEST_LABEL - suffix.length) + suffix);
}

/**
 * @param domain lower-case labels and dots; the contract has checked the form.
 * @throws Refusal `invalid` naming the field `dns_domain`.
 */
export function checkDomain(domain: string): void {
  const field = "dns_domain";
  const remedy = "choose a domain of your own, for example corp.example.com, or one under internal";
  if (/(^|\.)[0-9]+$/.test(domain)) {
    throw new Refusal("invalid", "DNS_DOMAIN_MALFORMED", "the last label of the domain is a number", { field, remedy });
  }
  const special = SPECIAL.find((name) => domain === name || domain.endsWith(`.${name}`));
  if (special !== undefined) {
    const message = `resolvers treat names under ${special} by rules of their own`;
    throw new Refusal("invalid", "DNS_DOMAIN_RESERVED", message, { field, remedy });
  }
  if (getPublicSuffix(domain, { allowPrivateDomains: true, extractHostname: false }) === domain) {
    throw new Refusal(
      "invalid",
      "DNS_DOMAIN_PUBLIC_SUFFIX",
      `${domain} is a public suffix: others have names under it`,
      {
        field,
        remedy,
      },
    );
  }
}

/** What a DNS record says, without its revision. */
export interface DnsContent {
  readonly domain: string;
  /** Address pools of the cvlan. */
  readonly pools: readonly Prefix[];
  readonly routes: readonly DnsRoute[];
}

/** The record of a cvlan at a revision, signed; serialised `Signed`. */
export function signDns(
  key: SigningKey,
  cvlan: { readonly tenantId: string; readonly cvlanId: string },
  content: DnsContent,
  recordRevision: bigint,
): Uint8Array {
  const { tenantId, cvlanId } = cvlan;
  const record = recordOf(content, { tenantId, cvlanId, recordRevision });
  return toBinary(SignedSchema, signRecord(key, "dns", toBinary(DnsRecordSchema, record)));
}

/** The stored record when a key of the role signed it for this cvlan; undefined otherwise. */
export function openDns(
  key: RoleKey,
  row: { readonly cvlanId: string; readonly record: Uint8Array },
): DnsRecord | undefined {
  try {
    const signed = fromBinary(SignedSchema, row.record);
    if (!isAccepted(key, "dns", signed)) return undefined;
    const record = fromBinary(DnsRecordSchema, signed.payload);
    return record.cvlanId === row.cvlanId ? record : undefined;
  } catch {
    return undefined;
  }
}

/** True when a record says what it shall say. */
export function says({ domain, prefixes, routes }: DnsRecord, content: DnsContent): boolean {
  const bytes = (record: DnsRecord): Uint8Array => toBinary(DnsRecordSchema, record);
  return Buffer.compare(bytes(create(DnsRecordSchema, { domain, prefixes, routes })), bytes(recordOf(content))) === 0;
}

type Origin = Pick<DnsRecord, "tenantId" | "cvlanId" | "recordRevision">;

function recordOf({ domain, pools, routes }: DnsContent, of: Partial<Origin> = {}): DnsRecord {
  return create(DnsRecordSchema, { ...of, domain, prefixes: [...pools], routes: [...routes] });
}
