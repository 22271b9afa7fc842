import { existsSync } from "node:fs";
import { chmod, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { outputOf, runLogged } from "./exec.mjs";
import { SetupFailure } from "./failure.mjs";
import { hashOf } from "./hash.mjs";
import { cache, root } from "./paths.mjs";
import { logOf, prune, replaceFolder, step } from "./steps.mjs";
import { hasCommand } from "./tools.mjs";

const NAME = "programs of Debian";
const RESOLVED = "systemd-resolved";
/** What tests call beside our own programs, where Debian's packages keep it, and the libraries that a small Debian lacks. */
const PROGRAMS = [
  { name: "zsh", paths: ["bin/zsh", "usr/bin/zsh"], packages: ["zsh"] },
  { name: "fish", paths: ["usr/bin/fish"], packages: ["fish", "libpcre2-32-0"] },
  {
    name: "nft",
    paths: ["usr/sbin/nft"],
    packages: ["nftables", "libnftables1", "libnftnl11", "libmnl0", "libjansson4", "libedit2"],
  },
  {
    name: "iptables-legacy",
    paths: ["usr/sbin/iptables-legacy"],
    packages: ["iptables", "libip4tc2", "libip6tc2", "libxtables12"],
  },
  { name: "wg", paths: ["usr/bin/wg"], packages: ["wireguard-tools"] },
  { name: "wg-quick", paths: ["usr/bin/wg-quick"], packages: ["wireguard-tools"] },
  { name: "resolvectl", paths: ["usr/bin/resolvectl"], packages: [RESOLVED, "libsystemd-shared"] },
  {
    name: RESOLVED,
    paths: [`lib/systemd/${RESOLVED}`, `usr/lib/systemd/${RESOLVED}`],
    packages: [RESOLVED, "libsystemd-shared"],
  },
];

const isThere = ({ name, paths }) => hasCommand(name) || paths.some((path) => existsSync(join("/", path)));

/**
 * Programs that the machine lacks, unpacked from Debian's packages and not installed: systemd-resolved's package would
 * rewrite /etc/resolv.conf. Where they are not to be had, their tests are skipped.
 */
export async function debianPrograms(progress) {
  const wanted = PROGRAMS.filter((program) => !isThere(program));
  if (wanted.length === 0 || !["apt-get", "dpkg-deb"].every(hasCommand)) return {};
  try {
    const folder = await unpacked(progress, wanted);
    const daemon = join(folder, "bin", RESOLVED);
    return {
      CLOUDVLAN_DEBIAN_PROGRAMS: join(folder, "bin"),
      ...(existsSync(daemon) ? { CLOUDVLAN_SYSTEMD_RESOLVED: daemon } : {}),
    };
  } catch (error) {
    if (!(error instanceof SetupFailure)) throw error;
    progress.begin(NAME, "not to be had");
    progress.end(NAME, `given up, see ${logOf("debian")},`);
    return {};
  }
}

async function unpacked(progress, wanted) {
  const packages = [...new Set(wanted.flatMap((program) => program.packages))];
  const itself = await readFile(new URL(import.meta.url));
  const names = wanted.map(({ name }) => name);
  const folder = join(cache, "debian", hashOf(itself, await versionsOf(packages), ...names));
  await step(
    progress,
    NAME,
    "fetching packages",
    `${folder}.lock`,
    async () => existsSync(folder),
    async () => {
      await replaceFolder(folder, (partial) => make(partial, folder, packages, wanted));
      await prune(join(cache, "debian"));
    },
  );
  return folder;
}

/** Where the packages come from, with version and digest. */
async function versionsOf(packages) {
  const ask = ["apt-get", "download", "--print-uris", ...packages];
  const known = await outputOf(ask, root);
  if (known !== undefined) return known;
  if (process.getuid?.() === 0) await runLogged(["apt-get", "update", "-q"], { cwd: root, log: logOf("debian") });
  const found = await outputOf(ask, root);
  if (found === undefined) throw new SetupFailure(`apt-get knows no ${packages.join(" ")}`);
  return found;
}

/** @param folder where `partial` will stand */
async function make(partial, folder, packages, wanted) {
  const log = logOf("debian");
  const [archives, files] = ["archives", "root"].map((name) => join(partial, name));
  await mkdir(archives);
  // apt's own user may not write here.
  const fetch = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", ...packages];
  await runLogged(fetch, { cwd: archives, log });
  for (const archive of await readdir(archives)) {
    await runLogged(["dpkg-deb", "-x", join(archives, archive), files], { cwd: partial, log });
  }
  await rm(archives, { recursive: true });

  const triplet = (await readdir(join(files, "usr/lib"))).find((name) => name.includes("-linux-gnu")) ?? "";
  const libraries = join(folder, "root/usr/lib", triplet);
  const variables = `LD_LIBRARY_PATH='${libraries}:${libraries}/systemd' XTABLES_LIBDIR='${libraries}/xtables'`;
  await mkdir(join(partial, "bin"));
  for (const { name, paths } of wanted) {
    const path = paths.find((each) => existsSync(join(files, each)));
    if (path === undefined) throw new SetupFailure(`the package ${packages[0]} has no ${name}`);
    const wrapper = join(partial, "bin", name);
    const program = join(folder, "root", path);
    await writeFile(wrapper, `#!/bin/sh\n${variables} exec '${program}' "$@"\n`);
    await chmod(wrapper, 0o755);
  }
}
