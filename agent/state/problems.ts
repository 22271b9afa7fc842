import { ConnectError } from "@connectrpc/connect";
import { create } from "@bufbuild/protobuf";
import { type Problem, ProblemSchema } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { type ErrorDetail, ErrorDetailSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { type Cell, cell } from "./cell.ts";

/** Part of the node that can be at fault. */
export type Part = (typeof PARTS)[number];

export const PARTS = [
  "engine",
  "map",
  "host",
  "certificate",
  "endpoints",
  "join",
  "resolver",
  "controller",
  "clock",
  "tenant",
] as const;

/** What is wrong now, at most one problem a part. */
export interface Problems {
  /** Returns true when the message is new, so that it is logged once and not with each retry. */
  report(part: Part, error: unknown): boolean;
  clear(part: Part): void;
  list(): Problem[];
  /** Another number after each change. */
  readonly version: Cell<number>;
}

export function problemBook(): Problems {
  const current = new Map<Part, Problem>();
  const version = cell(0);
  const changed = () => version.set(version.get() + 1);
  return {
    version,
    report(part, error) {
      const { message, remedy } = explainError(error);
      const known = current.get(part)?.message === message;
      current.set(part, create(ProblemSchema, { part, message, remedy }));
      if (!known) changed();
      return !known;
    },
    clear: (part) => void (current.delete(part) && changed()),
    list: () => [...current.values()],
  };
}

/** Words and remedy of an error for people; never a stack. */
export function explainError(error: unknown): { message: string; remedy: string } {
  if (error instanceof Refusal) return { message: error.message, remedy: error.detail.remedy ?? "" };
  if (error instanceof ConnectError) return { message: error.rawMessage, remedy: detailOf(error)?.remedy ?? "" };
  if (!(error instanceof Error)) return { message: String(error), remedy: "" };
  return { message: error.message, remedy: detailOf(error.cause)?.remedy ?? "" };
}

/** The typed detail of an error that came over the wire. */
export function detailOf(error: unknown): ErrorDetail | undefined {
  return error instanceof ConnectError ? error.findDetails(ErrorDetailSchema)[0] : undefined;
}

/** The stable reason of an error, empty when it has none. */
export function reasonOf(error: unknown): string {
  if (error instanceof Refusal) return error.reason;
  return detailOf(error)?.reason ?? "";
}
