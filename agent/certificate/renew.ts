import { CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import type { Clock } from "@cloudvlan/kit/clock";
import { Refusal } from "@cloudvlan/kit/errors";
import type { Logger } from "@cloudvlan/kit/log";
import { createCsr, newTlsKey, renewalTime, retryDelay } from "@cloudvlan/kit/pki";
import type { Controller } from "../controller/connection.ts";
import type { Cell } from "../state/cell.ts";
import { explainError, type Problems } from "../state/problems.ts";
import { inSpan } from "@cloudvlan/kit/telemetry";
import { sleep, uniform } from "../time/backoff.ts";
import { keepIdentity } from "./files.ts";
import { acceptCertificate, type ExpectedNode, type TlsIdentity } from "./identity.ts";

export interface RenewOptions {
  readonly state: string;
  readonly expected: ExpectedNode;
  readonly controller: Controller;
  readonly identity: Cell<TlsIdentity>;
  readonly clock: Clock;
  readonly problems: Problems;
  readonly log: Logger;
}

/** The wall clock is looked at so often, in milliseconds: timers stand still while a machine sleeps. */
const LOOK_MS = 30_000;

/**
 * Renews at two thirds of life, or at once when that is past, after an outage of any length, until the signal aborts.
 * Each renewal has a new key.
 */
export async function keepCertificate(options: RenewOptions, signal: AbortSignal): Promise<void> {
  const { identity, clock, problems, log } = options;
  let failures = 0;
  let due = renewalTime(identity.get(), uniform());
  while (!signal.aborted) {
    const left = due - clock.nowMs();
    if (left > 0) {
      await sleep(Math.min(left, LOOK_MS), signal);
      continue;
    }
    try {
      const renewed = await inSpan("agent.renew_certificate", {}, () => renewOnce(options, signal));
      identity.set(renewed);
      problems.clear("certificate");
      failures = 0;
      due = Math.max(clock.nowMs() + retryDelay(1, uniform()), renewalTime(renewed, uniform()));
      log.info({ not_after: renewed.notAfter }, "certificate renewed");
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      due = clock.nowMs() + retryDelay(failures, uniform());
      if (problems.report("certificate", error))
        log.warn({ why: explainError(error).message }, "certificate not renewed yet");
    }
  }
}

async function renewOnce(options: RenewOptions, signal: AbortSignal): Promise<TlsIdentity> {
  const keyPem = newTlsKey();
  const csr = await createCsr(keyPem);
  const answer = await options.controller.client(CertificateService).renewCertificate({ csr }, { signal });
  if (!answer.certificate || !answer.bundle) {
    throw new Refusal("unavailable", "RENEWAL_EMPTY", "the controller answered a renewal without a certificate");
  }
  const renewed = acceptCertificate(
    keyPem,
    answer.certificate.chain,
    answer.bundle.roots,
    options.expected,
    options.clock.nowMs(),
  );
  await keepIdentity(options.state, renewed);
  return renewed;
}
