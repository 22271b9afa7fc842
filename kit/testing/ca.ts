import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CaFiles, initCa, PROVISIONER } from "@cloudvlan/infra/step-ca/init";
import { type RunningCa, startCa } from "@cloudvlan/infra/step-ca/start";
import { caClient, type CertificateAuthority } from "../ca/index.ts";
import { systemClock } from "../clock/index.ts";

/** A real step-ca on loopback. */
export interface TestCa extends AsyncDisposable {
  /** Of the test; removed with the CA. */
  readonly folder: string;
  readonly files: CaFiles;
  readonly url: string;
  readonly authority: CertificateAuthority;
  stop(): Promise<void>;
  /** Starts it again at the same URL. */
  start(): Promise<void>;
}

/** Makes and starts the CA of a cluster; `CLOUDVLAN_STEP_CA` says where the program is. */
export async function testCa(clusterId: string): Promise<TestCa> {
  const folder = await mkdtemp(join(tmpdir(), "cvlan-ca-"));
  const dir = join(folder, "ca");
  const program = process.env["CLOUDVLAN_STEP_CA"] ?? "step-ca";
  let running: RunningCa;
  let files: CaFiles;
  try {
    files = await initCa(dir, { clusterId, names: ["127.0.0.1"], address: "127.0.0.1:0" });
    running = await startCa(dir, program);
  } catch (error) {
    await rm(folder, { recursive: true });
    throw error;
  }
  const authority = caClient({
    url: running.url,
    rootPem: () => readFileSync(files.rootPem, "utf8"),
    provisionerName: PROVISIONER,
    provisionerKeyJwk: JSON.parse(await readFile(files.provisionerKey, "utf8")) as object,
    clock: systemClock,
  });
  return {
    folder,
    files,
    url: running.url,
    authority,
    stop: () => running.stop(),
    async start() {
      running = await startCa(dir, program);
    },
    async [Symbol.asyncDispose]() {
      await running.stop();
      await rm(folder, { recursive: true });
    },
  };
}
