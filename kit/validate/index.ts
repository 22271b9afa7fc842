import type { DescMessage, Message } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import type { Interceptor } from "@connectrpc/connect";
import { Refusal } from "../errors/index.ts";
import { checkFirst } from "../interceptors/iterables.ts";

const validator = createValidator();

/** @throws Refusal `invalid` naming the first field that breaks a constraint of its proto. */
export function requireValid(schema: DescMessage, message: Message): void {
  const result = validator.validate(schema, message);
  if (result.kind === "valid") return;
  if (result.kind === "error") throw result.error;
  const [violation] = result.violations;
  const field = violation ? pathToString(violation.field) : "";
  const what = violation?.message ?? "does not meet its constraints";
  throw new Refusal("invalid", "INVALID_FIELD", `${field === "" ? "the request" : field}: ${what}`, {
    field,
    remedy: `correct ${field === "" ? "the request" : field} and send it again`,
  });
}

/** Checks requests against the constraints of the contract. Answers are ours and are not checked. */
export function validateInterceptor(): Interceptor {
  return (next) => async (request) => {
    const schema = request.method.input;
    if (request.stream) return next(await checkFirst(request, (message) => requireValid(schema, message as Message)));
    requireValid(schema, request.message);
    return next(request);
  };
}
