import { fromBinary } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { type JoinString, JoinStringSchema } from "@cloudvlan/gen/entity/v1/enrollment_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";

const PREFIX = "cvlan1.";
const MAX_LENGTH = 4_096;

/**
 * Reads a join string: `cvlan1.` and the unpadded base64url of a `JoinString`.
 * @throws Refusal `invalid` with the field `join_string`; its words never repeat the input, which is a secret.
 */
export function parseJoinString(text: string): JoinString {
  const trimmed = text.trim();
  if (trimmed.length > MAX_LENGTH) throw bad(`is longer than ${MAX_LENGTH} characters`);
  if (!trimmed.startsWith(PREFIX)) throw bad(`does not start with ${PREFIX}`);
  const body = trimmed.slice(PREFIX.length);
  const bytes = Buffer.from(body, "base64url");
  if (bytes.length === 0 || bytes.toString("base64url") !== body) throw bad("is cut off or was changed in copying");
  const parsed = decode(bytes);
  const verdict = createValidator().validate(JoinStringSchema, parsed);
  if (verdict.kind !== "valid" || (parsed.$unknown?.length ?? 0) > 0) {
    throw bad("has a part that this version does not understand");
  }
  const { pathname, search, hash, username, password } = new URL(parsed.url);
  if (pathname !== "/" || search || hash || username || password)
    throw bad("has a URL that is more than https://host:port");
  return parsed;
}

function decode(bytes: Uint8Array): JoinString {
  try {
    return fromBinary(JoinStringSchema, bytes);
  } catch {
    throw bad("is cut off or was changed in copying");
  }
}

function bad(why: string): Refusal {
  return new Refusal("invalid", "JOIN_STRING_INVALID", `the join string ${why}`, {
    field: "join_string",
    remedy: "copy it whole, on one line, or make a new one with `cvlan token create`",
  });
}
