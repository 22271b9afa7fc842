import { Refusal } from "@cloudvlan/kit/errors";

/** Milliseconds by which clocks may differ before tokens and certificates are refused. */
const TOLERANCE_MS = 300_000;
const MINUTE_MS = 60_000;

/**
 * What is wrong with this machine's clock, judged by a head that was just issued.
 * @param issuedMs when the controller issued it, milliseconds since the Unix epoch.
 * @returns undefined while the two clocks agree to 5 minutes.
 */
export function clockProblem(issuedMs: number, nowMs: number): Refusal | undefined {
  const skew = nowMs - issuedMs;
  if (Math.abs(skew) <= TOLERANCE_MS) return undefined;
  const minutes = Math.round(Math.abs(skew) / MINUTE_MS);
  const amount = minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
  return new Refusal(
    "conflict",
    "CLOCK_WRONG",
    `this machine's clock is ${amount} ${skew < 0 ? "behind" : "ahead of"} the controller's`,
    { remedy: "set the clock and keep it by NTP (`timedatectl set-ntp true`); certificates fail by it" },
  );
}
