import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CaFiles, initCa } from "@cloudvlan/infra/step-ca/init";
import { startCa } from "@cloudvlan/infra/step-ca/start";
import { type Issuer, issuerOf } from "./certificates.ts";

const CLUSTER = "cluster_00000000-0000-7000-8000-0000000000ca";

/** The step-ca of this process: every installation of the suite has it. */
export interface SharedCa {
  readonly url: string;
  readonly files: CaFiles;
  /** Signs with the CA's own intermediate key what step-ca never would. */
  readonly issuer: Issuer;
}

let started: Promise<{ ca: SharedCa; stop(): Promise<void> }> | undefined;

function binary(): string {
  const path = process.env["CLOUDVLAN_STEP_CA"];
  if (path === undefined || path === "") {
    throw new Error("CLOUDVLAN_STEP_CA does not say where step-ca is; `npm test` builds it and sets it");
  }
  return path;
}

async function start() {
  const program = binary();
  const folder = await mkdtemp(join(tmpdir(), "cvlan-contract-ca-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const dir = join(folder, "ca");
    const files = await initCa(dir, { clusterId: CLUSTER, names: ["127.0.0.1"], address: "127.0.0.1:0" });
    const read = (name: string) => readFile(join(dir, name), "utf8");
    const issuer = issuerOf(await read("intermediate.pem"), await read("intermediate.key"));
    const running = await startCa(dir, program);
    return {
      ca: { url: running.url, files, issuer },
      async stop() {
        await running.stop();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Started when first asked for, ended after the last test of the process. */
export async function sharedCa(): Promise<SharedCa> {
  started ??= start();
  return (await started).ca;
}

after(async () => {
  const running = await started?.catch(() => undefined);
  await running?.stop();
});
