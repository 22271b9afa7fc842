import { Code, ConnectError } from "@connectrpc/connect";
import { reasonOf } from "../state/problems.ts";

/** The engine did not take a step of the map; the former map stands. */
export class StepRefused extends Error {
  override readonly name = "StepRefused";
  /** The engine's stable reason, for example `GAP` or `BAD_SIGNATURE`. */
  readonly reason: string;

  constructor(cause: ConnectError) {
    super(`the engine refused a step of the map: ${cause.rawMessage}`, { cause });
    this.reason = reasonOf(cause);
  }
}

/** What to do after a stream ended. */
export type Outcome =
  /** The stream does not continue from where the engine stands: ask again from there. */
  | "resume"
  /** The engine does not believe what it was given: ask for everything, slowly. */
  | "resync"
  /** This identity is refused for good. */
  | "revoked"
  /** The certificate is refused, whether because it is past its validity or because the node was revoked. */
  | "certificate"
  /** The controller cannot be reached or served nothing of use. */
  | "unreachable"
  /** The engine is at fault, not the controller. */
  | "engine";

const POSITION_REASONS = new Set(["GAP", "OLD_REVISION", "TRUNCATED", "NO_HEAD"]);

export function outcomeOf(error: unknown): Outcome {
  if (error instanceof StepRefused) return POSITION_REASONS.has(error.reason) ? "resume" : "resync";
  if (error instanceof EngineFailed) return "engine";
  switch (reasonOf(error)) {
    case "NODE_REVOKED":
    case "IDENTITY_DENIED":
      return "revoked";
    case "CERTIFICATE_REFUSED":
      return "certificate";
    default:
      return "unreachable";
  }
}

/** The engine went away or hung while it was given a step. */
export class EngineFailed extends Error {
  override readonly name = "EngineFailed";
}

/** Tells a refused step from an engine that is not there. */
export function applyError(error: unknown): Error {
  if (!(error instanceof ConnectError)) return new EngineFailed("the engine failed", { cause: error });
  switch (error.code) {
    // Its disk is full, for example: the map is not at fault.
    case Code.ResourceExhausted:
    case Code.Unavailable:
    case Code.DeadlineExceeded:
    case Code.Canceled:
    case Code.Unknown:
      return new EngineFailed(`the engine failed: ${error.rawMessage}`, { cause: error });
    default:
      return new StepRefused(error);
  }
}
