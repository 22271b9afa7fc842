import { execFile } from "node:child_process";
import { lstat, open, readdir, statfs } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Check } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { codeOf, fail, ok, skipped, warn } from "./check.ts";

const MIB = 1_048_576;
/** Bytes of free space below which the next map may not fit. */
const DISK_FAIL = 4 * MIB;
const DISK_WARN = 64 * MIB;
const TUN = "/dev/net/tun";
const COMMAND_TIMEOUT_MS = 5_000;

const run = promisify(execFile);

/** Whether this user may make TUN interfaces here. */
export async function checkTun(path: string = TUN): Promise<Check> {
  try {
    const device = await open(path, "r+");
    await device.close();
    return ok("tun", `${path} can be opened; Linux ${release()}`);
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT" || code === "ENODEV" || code === "ENXIO") {
      return fail(
        "tun",
        `there is no ${path} (${code})`,
        "load the module (`modprobe tun`), or pass the device to the container",
      );
    }
    return fail("tun", `${path} cannot be opened (${code})`, "run the agent as root, or let its user open the device");
  }
}

/** Whether the state folder is its owner's alone and everything in it can be read. */
export async function checkState(folder: string): Promise<Check> {
  const name = "state";
  try {
    const stat = await lstat(folder);
    if (!stat.isDirectory()) return fail(name, `${folder} is not a folder`, "choose another --state folder");
    const self = process.geteuid?.();
    if (self !== undefined && self !== 0 && stat.uid !== self) {
      return fail(
        name,
        `${folder} belongs to the user ${stat.uid}`,
        "run this as root, or as the user the agent runs as",
      );
    }
    if ((stat.mode & 0o077) !== 0) return fail(name, `${folder} is open to other users`, `chmod 700 ${folder}`);
    const open = await openFiles(folder);
    if (open.length > 0) {
      return fail(
        name,
        `open to other users: ${open.join(", ")}`,
        `chmod 600 ${open.map((each) => join(folder, each)).join(" ")}`,
      );
    }
    return ok(name, `${folder} is its owner's alone`);
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT")
      return fail(name, `there is no ${folder}`, "start cvlan-agent once, or name its folder with --state");
    return fail(name, `${folder} cannot be read (${code})`, "run this as root, or as the user the agent runs as");
  }
}

async function openFiles(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const stat = await lstat(join(folder, entry.name)).catch(() => undefined);
    if (stat && (stat.mode & 0o077) !== 0) found.push(entry.name);
  }
  return found;
}

/** Whether the disk of a folder has room for the next map and certificate. */
export async function checkDisk(folder: string): Promise<Check> {
  const name = "disk";
  const remedy = `free space on the disk of ${folder}`;
  try {
    const { bavail, bsize, ffree, files } = await statfs(folder);
    const free = bavail * bsize;
    const found = `${Math.floor(free / MIB)} MiB free under ${folder}`;
    if (free < DISK_FAIL) return fail(name, found, remedy);
    if (files > 0 && ffree === 0) return fail(name, `no file can be made under ${folder}: out of inodes`, remedy);
    return free < DISK_WARN ? warn(name, found, remedy) : ok(name, found);
  } catch (error) {
    return skipped(name, `${folder} cannot be looked at (${codeOf(error)})`);
  }
}

/** Whether the system keeps its clock by NTP. */
export async function checkTimeSync(): Promise<Check> {
  const name = "time-sync";
  try {
    const { stdout } = await run("timedatectl", ["show", "--property=NTPSynchronized", "--value"], {
      timeout: COMMAND_TIMEOUT_MS,
    });
    if (stdout.trim() === "yes") return ok(name, "the system clock is kept by NTP");
    return warn(name, "the system clock is not synchronised", "timedatectl set-ntp true");
  } catch {
    return skipped(name, "timedatectl does not answer here; the check `clock` compares with the controller");
  }
}
