import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { ForeignAnswer, ForeignClient } from "./foreign.ts";

/** A client that reads calls and writes answers as lines of JSON, in order of arrival. */
export function lineClient(name: string, argv: readonly string[], env: NodeJS.ProcessEnv = {}): ForeignClient {
  const [program = "", ...args] = argv;
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } });
  const waiting = new Map<number, (answer: ForeignAnswer | Error) => void>();
  let words = "";
  let count = 0;
  let broken: Error | undefined;
  function fail(error: Error): void {
    broken ??= error;
    for (const settle of waiting.values()) settle(broken);
    waiting.clear();
  }
  child.stderr.on("data", (chunk: Buffer) => (words = `${words}${chunk.toString()}`.slice(-4_000)));
  child.stdin.on("error", fail);
  child.on("error", fail);
  child.on("close", (code) => fail(new Error(`${name} ended with ${code}: ${words}`)));
  createInterface({ input: child.stdout }).on("line", (line) => {
    const { id, ...answer } = JSON.parse(line) as ForeignAnswer & { id: number };
    waiting.get(id)?.(answer);
    waiting.delete(id);
  });
  return {
    name,
    call(call) {
      if (broken) return Promise.reject(broken);
      const { promise, resolve, reject } = Promise.withResolvers<ForeignAnswer>();
      const id = (count += 1);
      waiting.set(id, (answer) => (answer instanceof Error ? reject(answer) : resolve(answer)));
      child.stdin.write(`${JSON.stringify({ id, ...call })}\n`);
      return promise;
    },
    async close() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "close");
      child.stdin.end();
      await ended;
    },
  };
}
