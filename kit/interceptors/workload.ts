import type { Access } from "@cloudvlan/gen/options/v1/options_pb.js";
import type { Workload } from "../caller/index.ts";
import type { Clock } from "../clock/index.ts";
import { Refusal } from "../errors/index.ts";
import { type ChainVerdict, verifyChain } from "../pki/index.ts";
import type { Denials } from "../server/denials.ts";
import { type Standings, tenantSubject, tenantSuspended } from "../server/standings.ts";
import type { Peer } from "./peer.ts";

/** Milliseconds for which the judgement of one connection's certificate is kept; its expiry is looked at each time. */
const VERDICT_MS = 60_000;

export interface WorkloadOptions {
  readonly clock: Clock;
  readonly trustDomain: string;
  /** DER. */
  readonly roots: () => readonly Uint8Array[];
  readonly denials: Denials;
  readonly standings: Standings;
}

/** Says which workload is at the other end. @throws Refusal when it shows a certificate that is not accepted. */
export type Workloads = (peer: Peer, access: Pick<Access, "expiredCertificate" | "suspended">) => Workload;

function refused(auditReason: string, remedy: string): Refusal {
  return new Refusal("unauthenticated", "CERTIFICATE_REFUSED", "the client certificate is not accepted", {
    remedy,
    auditReason,
  });
}

export function workloads({ clock, trustDomain, roots, denials, standings }: WorkloadOptions): Workloads {
  const verdicts = new WeakMap<Peer, { readonly until: number; readonly verdict: ChainVerdict }>();

  function judge(peer: Extract<Peer, { kind: "tls" }>): ChainVerdict {
    const known = verdicts.get(peer);
    if (known && known.until > clock.monotonicMs()) return known.verdict;
    const verdict = verifyChain(peer.chain, roots(), clock.nowMs(), { trustDomain });
    verdicts.set(peer, { until: clock.monotonicMs() + VERDICT_MS, verdict });
    return verdict;
  }

  return (peer, access) => {
    if (peer.kind === "local") return { kind: "service", name: peer.service };
    if (peer.chain.length === 0) return { kind: "none" };
    const verdict = judge(peer);
    if (!verdict.ok)
      throw refused(
        "CERTIFICATE_BAD",
        "use the certificate that this installation issued; if its CA was replaced while this machine was away, join again",
      );
    const issuedAt = Math.floor(verdict.notBefore.getTime() / 1000);
    const { spiffe } = verdict;
    // A renewed denial list is what stands between a revoked machine and the network: without it nobody new is let in.
    if (spiffe.kind === "node" && denials.isStale()) {
      throw new Refusal("unavailable", "DENIALS_STALE", "the list of revoked identities is not up to date", {
        remedy: "try again later; the operator should see that auth is reachable",
      });
    }
    // Who has the certificate's key may know it, also after the certificate ran out: a revoked machine gives up at the first answer.
    if (denials.isDenied(verdict.uri, issuedAt)) {
      throw new Refusal("unauthenticated", "IDENTITY_DENIED", "the identity was revoked", { remedy: "join again" });
    }
    const expired = clock.nowMs() > verdict.notAfter.getTime();
    if (expired && !access.expiredCertificate) throw refused("CERTIFICATE_EXPIRED", "renew the certificate");
    switch (spiffe.kind) {
      case "node":
        if (denials.isDenied(tenantSubject(spiffe.tenantId), issuedAt))
          throw refused("TENANT_DENIED", "the tenant was deleted");
        if (!access.suspended && standings.isSuspended(spiffe.tenantId)) throw tenantSuspended(spiffe.tenantId);
        return { kind: "node", tenantId: spiffe.tenantId, nodeId: spiffe.nodeId, issuedAt, expired };
      case "service":
        return { kind: "service", name: spiffe.name };
      case "controller":
        throw refused("CERTIFICATE_OF_LISTENER", "call with a service's or a node's certificate");
    }
  };
}
