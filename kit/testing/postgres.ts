import { execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chownSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";

const BINARIES = "/usr/lib/postgresql/15/bin";

/** A PostgreSQL server of the test run: on a unix socket in a folder of its own, gone with the process. */
export interface TestServer {
  /** Makes an empty database owned by a plain login role, and returns its URL. */
  newDatabase(): Promise<string>;
  /** Runs a statement as superuser on the database of that URL. */
  asSuperuser(url: string, statement: string): Promise<Record<string, unknown>[]>;
  /** Kills the server as a crash does. */
  stop(): Promise<void>;
  /** Starts it again on the same data. */
  start(): Promise<void>;
}

let running: Promise<TestServer> | undefined;

/** The server of this process, started when first asked for. PostgreSQL refuses to run as root, so root borrows `postgres`. */
export function testServer(): Promise<TestServer> {
  running ??= start();
  return running;
}

function numericId(flag: "-u" | "-g"): number {
  return Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
}

async function start(): Promise<TestServer> {
  if (!existsSync(join(BINARIES, "postgres")))
    throw new Error(`PostgreSQL 15 is missing: apt-get install postgresql-15 (${BINARIES})`);
  const user = process.getuid?.() === 0 ? { uid: numericId("-u"), gid: numericId("-g") } : undefined;
  const folder = mkdtempSync(join(tmpdir(), "cvlan-pg-"));
  if (user) chownSync(folder, user.uid, user.gid);
  const data = join(folder, "data");
  execFileSync(join(BINARIES, "initdb"), ["-D", data, "-U", "superuser", "-A", "trust", "-E", "UTF8", "--no-sync"], {
    cwd: folder,
    stdio: "ignore",
    ...user,
  });

  // The death signal stops the server even when the test run is killed.
  const options = [
    "listen_addresses=",
    `unix_socket_directories=${folder}`,
    "fsync=off",
    "shared_buffers=16MB",
    "max_connections=200",
  ];
  const asUser = user ? [`--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups"] : [];
  const argv = [
    "--pdeathsig=QUIT",
    ...asUser,
    join(BINARIES, "postgres"),
    "-D",
    data,
    ...options.flatMap((option) => ["-c", option]),
  ];
  const boot = () => {
    const made = spawn("setpriv", argv, { cwd: folder, stdio: "ignore" });
    made.unref();
    return made;
  };
  let server = boot();
  process.once("exit", () => {
    if (server.exitCode !== null || server.signalCode !== null) return rmSync(folder, { recursive: true, force: true });
    // Waits for its end: a server that still writes would leave a part of the folder behind.
    execFileSync(join(BINARIES, "pg_ctl"), ["stop", "-m", "immediate", "-w", "-D", data], {
      cwd: folder,
      stdio: "ignore",
      ...user,
    });
    rmSync(folder, { recursive: true, force: true });
  });

  const connect = async (database: string): Promise<pg.Client> => {
    for (let attempt = 1; ; attempt++) {
      const client = new pg.Client({ host: folder, user: "superuser", database });
      client.on("error", () => undefined);
      try {
        await client.connect();
        return client;
      } catch (error) {
        await client.end();
        if (attempt === 300 || server.exitCode !== null) throw error;
        await sleep(100);
      }
    }
  };
  const admin = async (database: string, statement: string): Promise<Record<string, unknown>[]> => {
    const client = await connect(database);
    try {
      return (await client.query<Record<string, unknown>>(statement)).rows;
    } finally {
      await client.end();
    }
  };

  await admin("postgres", "create role cloudvlan login nosuperuser nobypassrls createrole");
  return {
    newDatabase: async () => {
      const name = `t_${randomUUID().replaceAll("-", "")}`;
      await admin("postgres", `create database ${name} owner cloudvlan`);
      return `postgres://cloudvlan@localhost/${name}?host=${encodeURIComponent(folder)}`;
    },
    asSuperuser: (url, statement) => admin(new URL(url).pathname.slice(1), statement),
    stop: async () => {
      const ended = new Promise((resolve) => server.once("exit", resolve));
      server.kill("SIGKILL");
      await ended;
    },
    start: async () => {
      server = boot();
      await (await connect("postgres")).end();
    },
  };
}
