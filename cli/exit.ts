import { Code, ConnectError } from "@connectrpc/connect";
import { ConfigError } from "@cloudvlan/kit/config";
import { Refusal, type RefusalKind } from "@cloudvlan/kit/errors";

/** Exit codes of `cvlan`; they do not change. docs: cli/README.md. */
export const EXIT = {
  ok: 0,
  /** Refused, or failed. */
  failed: 1,
  /** The command line or a file it names is wrong. */
  usage: 2,
  notFound: 3,
  /** Controller or agent cannot be reached. */
  unreachable: 4,
  /** No credential, or one without the right. */
  notAllowed: 5,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** What the user typed cannot be carried out as it stands. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.remedy = remedy;
  }
}

const BY_KIND: Record<RefusalKind, ExitCode> = {
  invalid: EXIT.failed,
  not_found: EXIT.notFound,
  conflict: EXIT.failed,
  exists: EXIT.failed,
  exhausted: EXIT.failed,
  unauthenticated: EXIT.notAllowed,
  denied: EXIT.notAllowed,
  unavailable: EXIT.unreachable,
};

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof UsageError || error instanceof ConfigError) return EXIT.usage;
  if (error instanceof Refusal) return BY_KIND[error.kind];
  if (!(error instanceof ConnectError)) return EXIT.failed;
  switch (error.code) {
    case Code.NotFound:
      return EXIT.notFound;
    case Code.Unavailable:
    case Code.DeadlineExceeded:
      return EXIT.unreachable;
    case Code.Unauthenticated:
    case Code.PermissionDenied:
      return EXIT.notAllowed;
    default:
      return EXIT.failed;
  }
}
