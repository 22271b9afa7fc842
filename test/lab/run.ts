import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process";
import { once } from "node:events";

export interface Finished {
  /** Undefined when a signal ended the process. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Kills the process; it then ends without a code. */
  readonly signal?: AbortSignal;
}

/**
 * Starts a process in a session of its own, so that an interrupt at the terminal reaches its owner alone.
 * @throws Error when there is no such program
 */
export async function start(argv: readonly string[], options: SpawnOptions): Promise<ChildProcess> {
  const [program, ...args] = argv;
  if (program === undefined) throw new Error("no program to start");
  const child = spawn(program, args, { ...options, detached: true });
  await once(child, "spawn");
  return child;
}

/** Runs a command to its end. Whatever its exit code is, that is an answer and no error. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const { input, cwd, env, signal } = options;
  const child = await start(argv, {
    stdio: ["pipe", "pipe", "pipe"],
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env }),
  });
  const abort = (): void => void child.kill("SIGKILL");
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort, { once: true });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => err.push(chunk));
  // A process that ends without reading its input closes the pipe; its exit code tells the story.
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(input ?? "");
  const [code] = (await once(child, "close")) as [number | null];
  signal?.removeEventListener("abort", abort);
  return { code: code ?? undefined, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
}

/** Like `run`, for commands that must succeed. @throws Error with what the command said */
export async function must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(argv, options);
  if (code !== 0) throw new Error(`${argv.join(" ")} failed (${code ?? "killed"}): ${(stderr || stdout).trim()}`);
  return stdout;
}
