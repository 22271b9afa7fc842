import { chmod, copyFile, cp, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AGENT_FLAGS } from "../bundle/flags.ts";

/** What the set-up made. */
export interface Made {
  /** Root of the clone. */
  readonly root: string;
  /** Node.js, the pinned one. */
  readonly node: string;
  /** Folder of the bundled programs. */
  readonly bundles: string;
  readonly engine: string;
  readonly stepCa: string;
}

const LIB = "usr/lib/cloudvlan";
const DOC = "usr/share/doc/cloudvlan";
const UNITS = ["cloudvlan-agent.service", "cloudvlan-control-plane.service", "cloudvlan-step-ca.service"];

/** Commands on the path, and the bundled program that each of them is. */
const COMMANDS: Readonly<Record<string, { readonly program: string; readonly flags?: readonly string[] }>> = {
  "usr/bin/cvlan": { program: "cli/cvlan.mjs" },
  "usr/sbin/cvlan-agent": { program: "agent/cvlan-agent.mjs", flags: AGENT_FLAGS },
  "usr/sbin/cloudvlan-init-ca": { program: "control-plane/init-ca.mjs" },
  "usr/sbin/cloudvlan-issue-identity": { program: "control-plane/issue-identity.mjs" },
};

async function place(from: string, to: string, mode: number): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to);
  await chmod(to, mode);
}

/** Lays out below an empty folder what a Linux machine or an image gets, as a distribution's package would. */
export async function installTree(made: Made, out: string): Promise<void> {
  const { root, node, bundles, engine, stepCa } = made;
  const programs = { node, "cvlan-engine": engine, "step-ca": stepCa };
  for (const [name, from] of Object.entries(programs)) await place(from, join(out, LIB, "bin", name), 0o755);
  for (const folder of ["agent", "cli", "control-plane"]) {
    await cp(join(bundles, folder), join(out, LIB, folder), { recursive: true });
  }
  for (const [command, { program, flags = [] }] of Object.entries(COMMANDS)) {
    const text = `#!/bin/sh\nexec ${[`/${LIB}/bin/node`, ...flags, `/${LIB}/${program}`].join(" ")} "$@"\n`;
    await mkdir(dirname(join(out, command)), { recursive: true });
    await writeFile(join(out, command), text, { mode: 0o755 });
  }
  for (const unit of UNITS)
    await place(join(root, "infra/systemd", unit), join(out, "usr/lib/systemd/system", unit), 0o644);
  await place(join(root, "infra/systemd/cloudvlan.sysusers"), join(out, "usr/lib/sysusers.d/cloudvlan.conf"), 0o644);
  for (const sample of ["agent.yaml", "control-plane.yaml"]) {
    await place(join(root, "infra/config", sample), join(out, DOC, "examples", sample), 0o644);
  }
  await place(join(root, "infra/packaging/README.md"), join(out, DOC, "README.md"), 0o644);
  await place(join(bundles, "THIRD-PARTY-LICENCES.txt"), join(out, DOC, "THIRD-PARTY-LICENCES.txt"), 0o644);
}
