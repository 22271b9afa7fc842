import { dirname, resolve } from "node:path";
import { Refusal } from "@cloudvlan/kit/errors";
import { type Journal, readJournal, removeJournal, writeJournal } from "./journal.ts";
import { putBack, putFile, type Standing, standing, sweepBeside } from "./place.ts";
import { composeResolvConf, markIn, type Names, parseResolvConf, type ResolvConf } from "./resolv-conf.ts";

/** A resolv.conf and the membership that may set it. */
export interface ResolvConfFile {
  readonly path: string;
  readonly state: string;
  readonly mark: string;
}

/** What the host resolves by, apart from us. */
export async function formerResolver(file: Omit<ResolvConfFile, "mark">): Promise<ResolvConf> {
  const now = await standing(file.path);
  if (markIn(now.text) === undefined) return parseResolvConf(now.text);
  return parseResolvConf(await formerText(file.path, await readJournal(file.state)));
}

/** A file of ours, and whether it had to be written. */
export interface Applied {
  readonly text: string;
  readonly written: boolean;
}

/**
 * Makes the file ours. What stood there, if it was not ours, is noted before.
 * @param beforeWrite is told what stands there before it is replaced, and may throw.
 * @throws Refusal `RESOLV_CONF_TAKEN` when another membership of this machine has it, or what was there before is lost.
 */
export async function applyFile(
  file: ResolvConfFile,
  names: Names,
  beforeWrite: (text: string) => void,
): Promise<Applied> {
  const now = await standing(file.path);
  const mark = markIn(now.text);
  const journal = await readJournal(file.state);
  const isNoted = journal?.backend === "file" && journal.mark === file.mark;
  if (mark !== undefined && (mark !== file.mark || !isNoted)) throw taken(file.path, mark);
  const former = mark === undefined ? now.text : await formerText(file.path, journal);
  const text = composeResolvConf(file.mark, file.state, parseResolvConf(former), names);
  if (text === now.text) return { text, written: false };
  beforeWrite(now.text);
  if (mark === undefined) {
    await writeJournal(file.state, { version: 1, backend: "file", mark: file.mark, former: now.former });
  }
  await putFile(file.path, text);
  return { text, written: true };
}

/** Puts back what stood there. A file that is not ours any more stays. Running it again, after whatever crash, finishes it. */
export async function restoreFile(path: string, state: string, journal: Journal & { backend: "file" }): Promise<void> {
  if (isOurs(await standing(path), journal.mark)) await putBack(path, journal.former);
  await sweepBeside(path);
  await removeJournal(state);
}

/** True when the file bears this mark. */
export function isOurs(now: Standing, mark: string): boolean {
  return markIn(now.text) === mark;
}

/** What a link led to is read where it leads now: another program may keep it up to date. */
async function formerText(path: string, journal: Journal | undefined): Promise<string> {
  if (journal?.backend !== "file") return "";
  const { former } = journal;
  if (former.kind === "file") return Buffer.from(former.content, "base64").toString("utf8");
  if (former.kind === "absent") return "";
  const behind = await standing(resolve(dirname(path), former.target));
  return markIn(behind.text) === undefined ? behind.text : "";
}

function taken(path: string, mark: string): Refusal {
  return new Refusal("conflict", "RESOLV_CONF_TAKEN", `${path} belongs to another membership: ${mark.slice(2, 80)}`, {
    remedy: `end that one with \`cvlan-agent --stop-engine\`, use systemd-resolved, or set \`resolver: off\` for one of them; if that one is gone, write ${path} anew`,
  });
}
