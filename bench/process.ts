import { readFile } from "node:fs/promises";

/** Clock ticks a second in /proc, the same on every Linux that we run on (sysconf(_SC_CLK_TCK)). */
const TICKS = 100;
const UTIME = 13;
const STIME = 14;

/** Resident memory of a process, bytes. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (kib === undefined) throw new Error(`process ${pid} has no memory`);
  return Number(kib) * 1024;
}

/** Processor time that a process has used, seconds. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  // The name in parentheses may hold anything; what follows it is numbers.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[UTIME - 2]) + Number(fields[STIME - 2])) / TICKS;
}
