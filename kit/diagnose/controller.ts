import { createHash } from "node:crypto";
import type { Check } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { fail, ok, skipped, warn } from "./check.ts";
import { type Answer, type Probe, probeController, type Step } from "./probe.ts";

/** Milliseconds by which clocks may differ before tokens and certificates are refused. */
const CLOCK_FAIL_MS = 300_000;
const CLOCK_WARN_MS = 60_000;

const REMEDIES: Readonly<Record<Step, string>> = {
  name: "check the name in the controller's URL and the resolver of this machine",
  tcp: "check that the controller runs and that no firewall is in between",
  tls: "check the URL, the clock of this machine, and that nothing in between ends TLS",
  http2: "check that the URL is the controller's and that no proxy in between refuses HTTP/2",
};

/**
 * Reachability step by step, the CA that is served beside the pinned one, and the clock beside the controller's.
 * @param roots pinned, DER.
 */
export async function checkController(
  url: string,
  roots: readonly Uint8Array[],
  nowMs: () => number,
): Promise<Check[]> {
  const probe = await probeController(url, roots, nowMs);
  // What is not trusted may still say why: another CA, another time.
  const doubtful = probe.failed?.step === "tls" ? await probeController(url, undefined, nowMs) : undefined;
  const answer = probe.answer ?? doubtful?.answer;
  return [reachability(url, probe), authority(roots, answer), clock(answer, probe.answer !== undefined)];
}

function reachability(url: string, { went, failed }: Probe): Check {
  const way = went.join(", ");
  if (!failed) return ok("reachability", `${url}: ${way}`);
  return fail(
    "reachability",
    `${url}: ${way && `${way}; `}${failed.step} failed: ${failed.why}`,
    REMEDIES[failed.step],
  );
}

function authority(pinned: readonly Uint8Array[], answer: Answer | undefined): Check {
  if (!answer) return skipped("ca", "the controller did not answer");
  const served = answer.roots.map(fingerprint);
  const common = pinned.map(fingerprint).find((each) => served.includes(each));
  if (common !== undefined) return ok("ca", `the controller serves the pinned root ${common}`);
  return fail(
    "ca",
    `the controller serves ${served.join(", ") || "no root"}; pinned is ${pinned.map(fingerprint).join(", ") || "none"}`,
    "check the URL; somebody may be between, or the CA was replaced: then join again with a new join string",
  );
}

function clock(answer: Answer | undefined, isTrusted: boolean): Check {
  if (answer?.dateMs === undefined) return skipped("clock", "the controller did not say what time it is");
  const skewMs = answer.receivedMs - answer.dateMs;
  const by = isTrusted ? "the controller's clock" : "the clock of who answers there, who is not trusted";
  // A `Date` is of whole seconds.
  const seconds = Math.max(0, Math.round(Math.abs(skewMs) / 1_000) - 1);
  const found = `this machine's clock is ${amount(seconds)} ${skewMs < 0 ? "behind" : "ahead of"} ${by}`;
  const remedy = "set the clock and keep it by NTP (`timedatectl set-ntp true`); certificates and tokens fail by it";
  if (Math.abs(skewMs) > CLOCK_FAIL_MS) return fail("clock", found, remedy);
  return Math.abs(skewMs) > CLOCK_WARN_MS ? warn("clock", found, remedy) : ok("clock", found);
}

function amount(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`;
}

/** SHA-256 of a certificate, hexadecimal, as `--ca-sha256` takes it. */
function fingerprint(der: Uint8Array): string {
  return createHash("sha256").update(der).digest("hex");
}
