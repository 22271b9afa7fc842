import type { Check } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { codeOf, fail, ok, skipped, warn } from "@cloudvlan/kit/diagnose";
import type { LocalNode } from "../api/node.ts";
import { loadIdentity } from "../certificate/files.ts";

const HOUR_MS = 3_600_000;
/** Share of its life after which a certificate should have been renewed: two thirds, and the jitter of renewals. */
const RENEWED_BY = 0.9;

/** The certificate on disk: its chain, its key, whom it names, how long it is good. */
export async function checkCertificate({ membership, config, clock, problems }: LocalNode): Promise<Check> {
  const name = "certificate";
  const member = membership.get();
  if (!member) return skipped(name, "this machine has not joined");
  const expected = { clusterId: member.cluster_id, tenantId: member.tenant_id, nodeId: member.node_id };
  try {
    const { notBefore, notAfter } = await loadIdentity(config.state, expected, clock.nowMs());
    const leftMs = notAfter.getTime() - clock.nowMs();
    const renewal = problems.list().find(({ part }) => part === "certificate");
    const why = renewal ? `; renewal: ${renewal.message}` : "";
    if (leftMs <= 0) {
      return fail(
        name,
        `it ended ${hours(-leftMs)} ago${why}`,
        "check reachability and clock: it is renewed by itself then",
      );
    }
    const found = `chain, key and name are right; it is good for ${hours(leftMs)} more${why}`;
    const late = clock.nowMs() > notBefore.getTime() + RENEWED_BY * (notAfter.getTime() - notBefore.getTime());
    return late ? warn(name, found, "its renewal is late: check reachability") : ok(name, found);
  } catch (error) {
    return fail(name, codeOf(error), "check the clock; restore the file from a backup, or join again");
  }
}

function hours(ms: number): string {
  return ms < 2 * HOUR_MS ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / HOUR_MS)} h`;
}
