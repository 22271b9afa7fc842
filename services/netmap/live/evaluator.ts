import { execFile, type ExecFileException } from "node:child_process";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type EvaluateRequest,
  EvaluateRequestSchema,
  type EvaluateResponse,
  EvaluateResponseSchema,
} from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import type { NetmapConfig } from "../config.ts";

/** Bytes of a question: the rules of some views are the most of it. */
const MAX_QUESTION = 32 * 1024 * 1024;
const MAX_ANSWER = 16 * 1024 * 1024;
/** Milliseconds that a judgement may take. */
const PATIENCE_MS = 10_000;
/** Questions that wait for a free program. */
const MAX_WAITING = 64;

/** Has the engine judge packets, in a process of its own. */
export interface Evaluator {
  /** @throws Refusal `unavailable` when there is no engine or it does not come to an end, `exhausted` when too much is asked. */
  readonly evaluate: (question: EvaluateRequest, signal: AbortSignal) => Promise<EvaluateResponse>;
}

export function evaluator({ engine, evaluations }: Pick<NetmapConfig, "engine" | "evaluations">): Evaluator {
  let running = 0;
  const waiting: (() => void)[] = [];

  async function turn(): Promise<Disposable> {
    if (running < evaluations) running++;
    else {
      if (waiting.length >= MAX_WAITING) throw tooMuch("TOO_MANY_EVALUATIONS", "too many questions wait", "try again");
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
    return {
      [Symbol.dispose]: () => {
        const next = waiting.shift();
        if (next) next();
        else running--;
      },
    };
  }

  return {
    evaluate: async (question, signal) => {
      const input = toBinary(EvaluateRequestSchema, question);
      if (input.length > MAX_QUESTION) {
        throw tooMuch("QUESTION_TOO_LARGE", "the policy is too large to be judged", "ask on the node itself");
      }
      using _turn = await turn();
      signal.throwIfAborted();
      const answer = fromBinary(EvaluateResponseSchema, await run(engine, input, signal));
      const { length } = question.packets;
      if (answer.verdicts.length !== length || answer.followings.length !== length) {
        throw new Error(
          `${engine} answered ${answer.followings.length} of ${length} packets; is it of another version?`,
        );
      }
      return answer;
    },
  };
}

function run(engine: string, input: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const options = {
      encoding: "buffer",
      maxBuffer: MAX_ANSWER,
      timeout: PATIENCE_MS,
      killSignal: "SIGKILL",
      signal,
    } as const;
    const child = execFile(engine, ["evaluate"], options, (error, stdout, stderr) => {
      if (error) reject(failureOf(engine, error, stderr.toString("utf8", 0, 500)));
      else resolve(stdout);
    });
    // A program that ends before it has read everything says why by its exit.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input);
  });
}

function failureOf(engine: string, error: ExecFileException, said: string): Error {
  if (error.code === "ENOENT" || error.code === "EACCES") {
    return new Refusal("unavailable", "ENGINE_ABSENT", "the controller has no engine to judge packets with", {
      remedy: "have the operator install cvlan-engine beside the controller, or name it in services.netmap.engine",
    });
  }
  if (error.killed && error.name !== "AbortError") {
    return new Refusal("unavailable", "EVALUATION_TOO_SLOW", "the engine did not come to an end", {
      remedy: "ask for fewer packets at once, or try again",
    });
  }
  return new Error(`${engine} evaluate failed: ${said.trim() || error.message}`, { cause: error });
}

function tooMuch(reason: string, message: string, remedy: string): Refusal {
  return new Refusal("exhausted", reason, message, { remedy });
}
