import { constants } from "node:fs";
import { type FileHandle, lstat, open, readFile, readlink, rename, rm, stat, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Refusal } from "@cloudvlan/kit/errors";
import { syncFolder } from "@cloudvlan/kit/files";
import { errnoOf } from "../state/files.ts";
import { type Former, MAX_RESOLV_CONF } from "./journal.ts";

const DRAFT = ".resolv.conf.cvlan";
const MODE = 0o644;

/** What stands at a path. */
export interface Standing {
  readonly former: Former;
  /** What a reader of the path gets; empty when there is nothing. */
  readonly text: string;
}

/** @throws Refusal `RESOLV_CONF_STRANGE` when it is neither a file nor a link, or too long. */
export async function standing(path: string): Promise<Standing> {
  const there = await orAbsent(lstat(path));
  if (!there) return { former: { kind: "absent" }, text: "" };
  if (there.isSymbolicLink()) {
    const behind = await orAbsent(stat(path));
    return {
      former: { kind: "link", target: await readlink(path) },
      text: behind?.isFile() && behind.size <= MAX_RESOLV_CONF ? await readFile(path, "utf8") : "",
    };
  }
  if (!there.isFile() || there.size > MAX_RESOLV_CONF) {
    throw new Refusal("conflict", "RESOLV_CONF_STRANGE", `${path} is no file of at most ${MAX_RESOLV_CONF} bytes`, {
      remedy: "make it a resolv.conf(5), or set `resolver: off`",
    });
  }
  const content = await readFile(path);
  const former = { kind: "file" as const, content: content.toString("base64"), mode: there.mode & 0o7777 };
  return { former, text: content.toString("utf8") };
}

/**
 * Puts a file where something stood. Readers see the one or the other, unless the path is a mount of its own, as in
 * containers: then the file is written in place.
 * @throws Refusal `RESOLV_CONF_NOT_WRITABLE`.
 */
export async function putFile(path: string, content: string | Uint8Array, mode: number = MODE): Promise<void> {
  try {
    const draft = join(dirname(path), DRAFT);
    await rm(draft, { force: true });
    try {
      await written(await open(draft, "wx", mode), content, mode);
      await rename(draft, path);
    } finally {
      await rm(draft, { force: true });
    }
    await syncFolder(dirname(path));
  } catch (error) {
    if (!MOUNTED.has(errnoOf(error) ?? "")) throw notWritable(path, error);
    try {
      await writeInPlace(path, Buffer.from(content));
    } catch (inPlace) {
      throw notWritable(path, inPlace);
    }
  }
}

/** Removes what a run that was killed left beside the path. */
export async function sweepBeside(path: string): Promise<void> {
  await rm(join(dirname(path), DRAFT), { force: true });
}

/** Puts back what stood at a path. @throws Refusal `RESOLV_CONF_NOT_WRITABLE` */
export async function putBack(path: string, former: Former): Promise<void> {
  if (former.kind === "file") return putFile(path, Buffer.from(former.content, "base64"), former.mode);
  try {
    if (former.kind === "absent") await rm(path, { force: true });
    else {
      const draft = join(dirname(path), DRAFT);
      await rm(draft, { force: true });
      await symlink(former.target, draft);
      await rename(draft, path);
    }
    await syncFolder(dirname(path));
  } catch (error) {
    throw notWritable(path, error);
  }
}

/** A path that cannot be renamed over: a mount of its own, or in a folder that is read-only to this process. */
const MOUNTED: ReadonlySet<string> = new Set(["EBUSY", "EXDEV", "EROFS", "EACCES", "EPERM"]);

/** One write, padded with empty lines to what stood there: cut off anywhere, the file is the one or the other. */
async function writeInPlace(path: string, content: Buffer): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_NOFOLLOW);
  try {
    const { size } = await file.stat();
    const padding = Buffer.alloc(Math.max(0, size - content.length), "\n");
    await file.write(Buffer.concat([content, padding]), 0, null, 0);
    await file.truncate(content.length);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function written(file: FileHandle, content: string | Uint8Array, mode: number): Promise<void> {
  try {
    await file.writeFile(content);
    // The umask has a say in `open`.
    await file.chmod(mode);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function orAbsent<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

function notWritable(path: string, error: unknown): unknown {
  const code = errnoOf(error);
  if (code === undefined) return error;
  return new Refusal("unavailable", "RESOLV_CONF_NOT_WRITABLE", `cannot write ${path} (${code})`, {
    remedy: "run the agent as root and let it write there, free space on that disk, or set `resolver: off`",
  });
}
