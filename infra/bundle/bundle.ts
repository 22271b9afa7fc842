import { join } from "node:path";
import { writeFile } from "node:fs/promises";
import { build, type Metafile } from "esbuild";
import { besides } from "./beside.ts";
import { licenceTexts } from "./licences.ts";

/** The programs by folder and name, and where their sources begin. Programs of one folder share what they have in common. */
const FOLDERS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  agent: { "cvlan-agent": "agent/main.ts" },
  cli: { cvlan: "cli/main.ts" },
  "control-plane": {
    "control-plane": "services/all/main.ts",
    auth: "services/auth/main.ts",
    registry: "services/registry/main.ts",
    policy: "services/policy/main.ts",
    netmap: "services/netmap/main.ts",
    "issue-identity": "services/auth/issue.ts",
    "init-ca": "infra/step-ca/main.ts",
    admin: "services/all/admin.ts",
  },
};

/** Packages of CommonJS ask for Node's own modules by `require`, which modules do not have. */
const REQUIRE = `import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);`;

/** What packages ask for and go on without: pg's native client, its socket on another platform, a reader of protos for channelz. */
const ABSENT = ["pg-native", "pg-cloudflare", "cloudflare:sockets", "@grpc/proto-loader"];

/**
 * Bundles every program: one file, beside it what is loaded on demand, the files that modules find beside themselves,
 * and the licences of all that is in there. The same sources give the same bytes.
 * @param root root of the clone
 * @param out empty folder
 * @throws Error when a source does not compile, or a package has a licence that may not be in there
 */
export async function bundle(root: string, out: string): Promise<void> {
  const inputs = new Set<string>();
  for (const [folder, entries] of Object.entries(FOLDERS)) {
    const made = await bundleFolder(root, join(out, folder), entries);
    for (const input of Object.keys(made.inputs)) inputs.add(input);
  }
  await writeFile(join(out, "THIRD-PARTY-LICENCES.txt"), await licenceTexts(root, [...inputs]));
}

async function bundleFolder(
  root: string,
  folder: string,
  entryPoints: Readonly<Record<string, string>>,
): Promise<Metafile> {
  const beside = besides(root);
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: { ...entryPoints },
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node24",
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: "none",
    banner: { js: REQUIRE },
    external: ABSENT,
    plugins: [beside.plugin],
    metafile: true,
    logLevel: "error",
  });
  await beside.copyTo(folder);
  return metafile;
}
