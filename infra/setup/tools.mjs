import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { outputOf, runLogged } from "./exec.mjs";
import { SetupFailure } from "./failure.mjs";
import { cache, root } from "./paths.mjs";

/** True when a command of that name is on the path. */
export function hasCommand(name) {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function hasVenv() {
  return spawnSync("python3", ["-c", "import ensurepip, venv"], { stdio: "ignore" }).status === 0;
}

const POSTGRES = "/usr/lib/postgresql/15/bin/postgres";

/** What the distribution brings, by Debian's package names. */
const LINKER = { there: () => hasCommand("cc"), packages: ["gcc", "libc6-dev"], what: "a C linker (cc)" };
const IP = { there: () => hasCommand("ip"), packages: ["iproute2"], what: "ip" };
const PYTHON = { there: hasVenv, packages: ["python3-venv"], what: "Python 3 with venv" };
const DATABASE = { there: () => existsSync(POSTGRES), packages: ["postgresql-15"], what: "PostgreSQL 15" };
const SYSTEMD = { there: () => hasCommand("systemd-analyze"), packages: ["systemd"], what: "systemd-analyze" };
const WIREGUARD = { there: () => hasCommand("wg"), packages: ["wireguard-tools"], what: "wg" };
const TRAFFIC = {
  there: () => ["iperf3", "ethtool", "ping"].every(hasCommand),
  packages: ["iperf3", "ethtool", "iputils-ping"],
  what: "iperf3, ethtool and ping",
};
const PACKAGES = {
  bench: [LINKER, IP, DATABASE],
  "bench wg": [LINKER, IP, WIREGUARD, TRAFFIC],
  gen: [LINKER, PYTHON],
  package: [LINKER],
  start: [LINKER, IP],
  test: [LINKER, IP, PYTHON, DATABASE, SYSTEMD],
};

/** What comes from its makers; each with a command that shows that it works. */
const TOOLCHAINS = [
  { argv: ["npm", "--version"], remedy: "install Node.js 20 or newer with npm (https://nodejs.org)" },
  { argv: ["cargo", "--version"], remedy: "install Rust with `rustup default stable` (https://rustup.rs)" },
  { argv: ["go", "version"], remedy: "install Go 1.26 or newer (https://go.dev/dl)" },
];
const CHECKERS = [
  { argv: ["cargo", "fmt", "--version"], remedy: "install it with `rustup component add rustfmt`" },
  { argv: ["cargo", "clippy", "--version"], remedy: "install it with `rustup component add clippy`" },
];

async function installPackages(wanted) {
  const packages = wanted.flatMap((need) => need.packages);
  const what = wanted.map((need) => need.what).join(", ");
  const isRoot = process.getuid?.() === 0;
  if (!isRoot || !hasCommand("apt-get")) {
    const command = `${isRoot ? "" : "sudo "}apt-get install ${packages.join(" ")}`;
    throw new SetupFailure(`missing on this machine: ${what}; install it, on Debian: ${command}`);
  }
  process.stderr.write(`set-up: installing ${packages.join(" ")} (${what})\n`);
  // Runlevel 1 keeps invoke-rc.d from starting the servers that packages bring.
  const env = { DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  const options = { cwd: root, env, log: join(cache, "logs", "apt.log") };
  await runLogged(["apt-get", "update", "-q"], options);
  await runLogged(["apt-get", "install", "-q", "-y", "--no-install-recommends", ...packages], options);
}

/**
 * Makes sure that the machine has what a command needs; as root on Debian, installs what is missing.
 * @throws SetupFailure, one line that says what to install
 */
export async function requireTools(command) {
  const wanted = PACKAGES[command].filter((need) => !need.there());
  if (wanted.length > 0) await installPackages(wanted);
  for (const { argv, remedy } of command === "test" ? [...TOOLCHAINS, ...CHECKERS] : TOOLCHAINS) {
    if ((await outputOf(argv, root)) === undefined)
      throw new SetupFailure(`\`${argv.join(" ")}\` does not work here: ${remedy}`);
  }
}
