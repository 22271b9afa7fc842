import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { ErrorDetailSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";

/** What a caller is told of a refusal, all of it. */
export interface Refused {
  readonly code: string;
  readonly reason: string;
  readonly message: string;
  readonly field: string;
  readonly objectId: string;
  readonly remedy: string;
}

const ANSWER_MS = 30_000;

export function refusedOf(error: unknown): Refused {
  const told = ConnectError.from(error);
  const [detail] = told.findDetails(ErrorDetailSchema);
  const { reason = "", field = "", objectId = "", remedy = "" } = detail ?? {};
  return { code: Code[told.code] ?? "", reason, message: told.rawMessage, field, objectId, remedy };
}

/** The refusal that a call ends with. @throws Error when it succeeds. */
export async function refusalOf(call: Promise<unknown>): Promise<Refused> {
  let answer: unknown;
  try {
    answer = await call;
  } catch (error) {
    return refusedOf(error);
  }
  throw new Error(
    `the call was let through: ${JSON.stringify(answer, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value)).slice(0, 500)}`,
  );
}

/** The answer to a call of any RPC; of a stream, its first message. */
export async function invoke(
  transport: Transport,
  method: DescMethod,
  request: MessageInitShape<DescMessage>,
): Promise<MessageShape<DescMessage>> {
  if (method.methodKind === "unary") {
    const { message } = await transport.unary(method as DescMethodUnary, undefined, ANSWER_MS, undefined, request);
    return message;
  }
  if (method.methodKind !== "server_streaming") throw new Error(`${method.name} streams its requests`);
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), ANSWER_MS);
  try {
    const message = create(method.input, request);
    const requests = (async function* () {
      yield message;
    })();
    const answer = await transport.stream(
      method as DescMethodServerStreaming,
      stop.signal,
      undefined,
      undefined,
      requests,
    );
    for await (const first of answer.message) return first;
    throw new Error(`${method.name} ended without a message`);
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}

/** The refusal, or undefined when the call went through. */
export async function outcomeOf(
  transport: Transport,
  method: DescMethod,
  request: MessageInitShape<DescMessage>,
): Promise<Refused | undefined> {
  try {
    await invoke(transport, method, request);
    return undefined;
  } catch (error) {
    return refusedOf(error);
  }
}
