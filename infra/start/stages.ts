import { failureOf } from "./failure.ts";

/** What took how long, and where it failed. */
export interface Stages {
  /** Milliseconds by stage, in the order in which they ended. */
  readonly times: Readonly<Record<string, number>>;
  /** Runs a stage. @throws StartFailure that names the stage */
  run<T>(name: string, work: () => Promise<T>): Promise<T>;
}

/** @param onBegin told each stage as it begins */
export function createStages(onBegin: (name: string) => void): Stages {
  const times: Record<string, number> = {};
  return {
    times,
    run: async (name, work) => {
      onBegin(name);
      const began = performance.now();
      try {
        return await work();
      } catch (error) {
        throw failureOf(name, error);
      } finally {
        times[name] = Math.round(performance.now() - began);
      }
    },
  };
}
