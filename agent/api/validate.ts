import type { DescMessage, Message } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import type { Interceptor } from "@connectrpc/connect";
import { Refusal } from "@cloudvlan/kit/errors";

const validator = createValidator();

/** Checks each request against the constraints of its proto. Kit's chain is for listeners of the control plane. */
export const validateRequests: Interceptor = (next) => async (request) => {
  if (!request.stream) {
    requireValid(request.method.input, request.message);
    return await next(request);
  }
  return await next({ ...request, message: checked(request.method.input, request.message) });
};

async function* checked<M extends Message>(schema: DescMessage, messages: AsyncIterable<M>): AsyncGenerator<M> {
  for await (const message of messages) {
    requireValid(schema, message);
    yield message;
  }
}

function requireValid(schema: DescMessage, message: Message): void {
  const verdict = validator.validate(schema, message);
  if (verdict.kind === "valid") return;
  if (verdict.kind === "error") throw verdict.error;
  const [violation] = verdict.violations;
  const field = violation ? pathToString(violation.field) : "";
  throw new Refusal("invalid", "INVALID_FIELD", `${field}: ${violation?.message ?? "does not meet its constraints"}`, {
    field,
    remedy: `correct ${field}`,
  });
}
