import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ProcessConfig, processConfigSchema } from "../../config/index.ts";
import { openStore, type Store } from "../../db/index.ts";
import { newId } from "../../ids/index.ts";
import { type Composition, compose, type ServiceDefinition } from "../../service/index.ts";
import { type Line, recordingLog } from "../../testing/log.ts";
import { newConfig } from "../../testing/stores.ts";
import { type TestAuthority, testAuthority } from "./authority.ts";

/** Waits for a condition; the ceiling is for a broken test, not a measure. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 20) {
    if (waited > 20_000) throw new Error(`never came: ${what}`);
    await sleep(20);
  }
}

export interface Bench {
  readonly ca: TestAuthority;
  readonly store: Store;
  readonly clusterId: `cluster_${string}`;
  readonly lines: Line[];
  config(overrides?: object): ProcessConfig;
  /** Starts a process; it is closed with the bench at the latest. */
  start(definitions: readonly ServiceDefinition[], config?: ProcessConfig): Promise<Composition>;
  roots(): Promise<readonly Uint8Array[]>;
  close(): Promise<void>;
}

/** Everything a process needs from outside: a CA, a store, folders. */
export async function bench(): Promise<Bench> {
  const { config: storeConfig } = await newConfig("postgres");
  const lines: Line[] = [];
  const log = recordingLog(lines);
  const store = await openStore(storeConfig, log);
  const ca = await testAuthority();
  const clusterId = newId("cluster", Date.now());
  const folder = mkdtempSync(join(tmpdir(), "cvlan-process-"));
  const running: Composition[] = [];
  let count = 0;
  const made: Bench = {
    ca,
    store,
    clusterId,
    lines,
    roots: () => ca.roots(),
    config: (overrides = {}) =>
      processConfigSchema.parse({
        cluster: clusterId,
        data: join(folder, `data${count++}`),
        url: "https://localhost:0",
        listen: { address: "127.0.0.1", port: 0, names: ["localhost", "127.0.0.1"] },
        store: { kind: "pglite" },
        ...overrides,
      }),
    async start(definitions, config = made.config()) {
      const composition = await compose(definitions, config, { log, ca, store });
      running.push(composition);
      return composition;
    },
    async close() {
      for (const composition of running) await composition.close();
      await store[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return made;
}
