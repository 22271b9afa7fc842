import { create } from "@bufbuild/protobuf";
import { type Check, CheckSchema, CheckVerdict } from "@cloudvlan/gen/agent/v1/agent_pb.js";

export const ok = (name: string, found: string): Check => make(name, CheckVerdict.OK, found, "");

/** Works, and will not always or not everywhere. */
export const warn = (name: string, found: string, remedy: string): Check =>
  make(name, CheckVerdict.WARN, found, remedy);

export const fail = (name: string, found: string, remedy: string): Check =>
  make(name, CheckVerdict.FAIL, found, remedy);

/** Could not be looked at, or does not apply. */
export const skipped = (name: string, why: string): Check => make(name, CheckVerdict.SKIPPED, why, "");

function make(name: string, verdict: CheckVerdict, found: string, remedy: string): Check {
  return create(CheckSchema, { name, verdict, found, remedy });
}

/** The system's error name, for example `ENOENT`; the words of an error that has none. */
export function codeOf(error: unknown): string {
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  return error instanceof Error ? error.message : String(error);
}
