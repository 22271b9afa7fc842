import { KeyRotationStage } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { type Keyset, KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { ServiceName } from "@cloudvlan/kit/caller";
import { Refusal } from "@cloudvlan/kit/errors";
import type { KeyRotationState } from "../schema.ts";
import { roleOf } from "./keyset.ts";

/** What a service says of a replacement. */
export interface RotationReport {
  readonly service: ServiceName;
  readonly role: KeyRole;
  readonly keyId: string;
  readonly stage: KeyRotationStage;
  readonly left: bigint;
}

/**
 * A replacement as a report leaves it: stages go forward only, and a repetition changes nothing.
 * @param keyset in force.
 * @throws Refusal for a stage that is not the service's to report, out of turn, or with another key than the new one.
 */
export function advance(
  current: KeyRotationState | undefined,
  keyset: Keyset,
  report: RotationReport,
  now: Date,
): KeyRotationState {
  checkReporter(report);
  if (!current) throw notUnderWay(keyset.tenantId);
  if (current.stage === KeyRotationStage.DONE) {
    if (current.keyId === report.keyId) return current;
    throw notUnderWay(keyset.tenantId);
  }
  checkKey(current, keyset, report);
  const isOwnKey = roleOf(report.service) === report.role;
  if (report.stage === KeyRotationStage.DONE && !isOwnKey && current.stage !== KeyRotationStage.MAPPING) {
    throw new Refusal("conflict", "RECORDS_NOT_SIGNED", "the service that signs is not done with its records", {
      field: "stage",
      remedy: "report again when the stage is mapping",
    });
  }
  // Workers of a service report side by side: who is behind takes nothing back.
  if (report.stage < current.stage) return current;
  return { ...current, keyId: report.keyId, stage: report.stage, left: report.left, updatedAt: now };
}

/** Who signs says when it signs and when it has signed; netmap, which has the maps, says when the former key may go. */
function checkReporter({ service, role, stage }: RotationReport): void {
  const isOwner = roleOf(service) === role;
  const byOwner = stage === KeyRotationStage.SIGNING || (stage === KeyRotationStage.MAPPING && role !== KeyRole.MAP);
  const byNetmap = stage === KeyRotationStage.DONE || (stage === KeyRotationStage.MAPPING && role !== KeyRole.MAP);
  if ((isOwner && byOwner) || (service === "netmap" && byNetmap)) return;
  throw new Refusal("denied", "STAGE_NOT_YOURS", `${service} may not say so of a key for ${KeyRole[role]}`, {
    field: "stage",
    remedy: "the service that signs reports until its records are signed, netmap reports the rest",
  });
}

function checkKey(current: KeyRotationState, keyset: Keyset, { role, keyId }: RotationReport): void {
  const key = keyset.keys.find((delegated) => delegated.keyId === keyId);
  const isOther = current.keyId !== "" && current.keyId !== keyId;
  if (key?.role === role && !isOther && !current.formerKeyIds.includes(keyId)) return;
  throw new Refusal("invalid", "KEY_NOT_THE_NEW_ONE", "that is not the key which takes the place of the former ones", {
    field: "key_id",
    remedy: "delegate a new key for the role and name that",
  });
}

function notUnderWay(tenantId: string): Refusal {
  return new Refusal("conflict", "NO_KEY_ROTATION", "no key of that role is being replaced", {
    objectId: tenantId,
    remedy: "list the unfinished replacements",
  });
}
