import { createHash } from "node:crypto";

/**
 * Where the engine of a membership answers names: 127.83.a.b, where a.b follows from the cvlan, so that several memberships
 * of one machine have one each.
 */
export function listenAddress(cvlanId: string): string {
  const [a = 0, b = 0] = createHash("sha256").update(cvlanId).digest();
  return `127.83.${a}.${b}`;
}
