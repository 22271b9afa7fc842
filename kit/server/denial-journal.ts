import { type FileHandle, open, readFile } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import type { Clock } from "../clock/index.ts";
import { replaceWhole } from "../files/index.ts";
import type { KeyProvider } from "../keys/index.ts";
import type { Logger } from "../log/index.ts";

/** Whom this worker has ever heard to be denied, in a file of its own: it stays true whatever becomes of the database. */
export interface DenialJournal {
  /** By subject; seconds since the Unix epoch before which its credentials were issued. */
  readonly denied: ReadonlyMap<string, number>;
  /** Adds what is new, on disk when it resolves. Never rejects: what the disk does not take is tried again with the next. */
  keep(denials: ReadonlyMap<string, number>): Promise<void>;
  close(): Promise<void>;
}

export interface DenialJournalOptions {
  /** Of the file, made when absent. */
  readonly path: string;
  readonly keys: KeyProvider;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Entry {
  readonly issuedBefore: number;
  /** Seconds since the Unix epoch. */
  readonly learnedAt: number;
}

/** A line: subject, issued before, learned at, MAC over what stands before it. */
const LINE = /^((\S{1,512}) (\d{1,12}) (\d{1,12})) ([A-Za-z0-9_-]{43})$/;
const MAC_CONTEXT = "denial-journal";
/** An identity is renewed with a certificate of any age: it ends with the CA that signed it, after ten years. */
const KEPT_SECONDS = 10 * 366 * 86_400;
/** Lines between which other work gets its turn: about 10 ms. */
const BATCH = 500;

/**
 * Whom a journal says to be denied; empty when there is none. Lines that were not written under these keys are left out.
 * @returns by subject, seconds since the Unix epoch before which its credentials were issued.
 */
export async function loadDenialJournal(path: string, keys: KeyProvider): Promise<ReadonlyMap<string, number>> {
  const { entries } = await read(path, keys);
  return new Map([...entries].map(([subject, { issuedBefore }]) => [subject, issuedBefore]));
}

/** Opens the journal, and rewrites it when it has lines that are of no use any more. */
export async function openDenialJournal(options: DenialJournalOptions): Promise<DenialJournal> {
  const { path, keys, clock, log } = options;
  const { entries, lines, foreign } = await read(path, keys);
  if (foreign > 0) {
    log.error(
      { path, lines: foreign },
      "the journal of denials has lines that were not written here; they are left out",
    );
  }
  const oldest = clock.nowMs() / 1000 - KEPT_SECONDS;
  for (const [subject, { learnedAt }] of entries) if (learnedAt < oldest) entries.delete(subject);
  if (lines !== entries.size) await rewrite(options, entries);
  return journal(options, entries);
}

async function rewrite({ path, keys, log }: DenialJournalOptions, entries: ReadonlyMap<string, Entry>): Promise<void> {
  try {
    await replaceWhole(path, await text(keys, entries));
  } catch (error) {
    log.error({ error, path }, "the journal of denials was not tidied up; it is used as it is");
  }
}

function journal({ path, keys, clock, log }: DenialJournalOptions, entries: ReadonlyMap<string, Entry>): DenialJournal {
  const denied = new Map([...entries].map(([subject, { issuedBefore }]) => [subject, issuedBefore]));
  const pending = new Map<string, Entry>();
  let file: FileHandle | undefined;
  let turn = Promise.resolve();
  let isFailing = false;

  async function write(): Promise<void> {
    if (pending.size === 0) return;
    const batch = new Map(pending);
    try {
      file ??= await open(path, "a", 0o600);
      // The line before may be torn: a crash or a full disk.
      await file.appendFile(`\n${await text(keys, batch)}`);
      await file.datasync();
      for (const subject of batch.keys()) pending.delete(subject);
      isFailing = false;
    } catch (error) {
      if (!isFailing) log.error({ error, path }, "a denial was not written to the journal; it is tried again");
      isFailing = true;
    }
  }

  return {
    denied,
    keep(denials) {
      const learnedAt = Math.floor(clock.nowMs() / 1000);
      for (const [subject, issuedBefore] of denials) {
        if ((denied.get(subject) ?? 0) >= issuedBefore) continue;
        denied.set(subject, issuedBefore);
        pending.set(subject, { issuedBefore, learnedAt });
      }
      turn = turn.then(write);
      return turn;
    },
    async close() {
      await turn;
      await file?.close();
      file = undefined;
    },
  };
}

async function text(keys: KeyProvider, entries: ReadonlyMap<string, Entry>): Promise<string> {
  const lines: string[] = [];
  for (const [subject, { issuedBefore, learnedAt }] of entries) {
    const body = `${subject} ${issuedBefore} ${learnedAt}`;
    lines.push(`${body} ${Buffer.from(keys.mac(MAC_CONTEXT, Buffer.from(body))).toString("base64url")}\n`);
    if (lines.length % BATCH === 0) await setImmediate();
  }
  return lines.join("");
}

async function read(
  path: string,
  keys: KeyProvider,
): Promise<{ entries: Map<string, Entry>; lines: number; foreign: number }> {
  const lines = (await contentOf(path)).split("\n");
  // Without its end the last line is what a crash left of it.
  const torn = lines.pop() === "" ? 0 : 1;
  const entries = new Map<string, Entry>();
  let written = torn;
  let foreign = 0;
  for (const [position, line] of lines.entries()) {
    if (position % BATCH === BATCH - 1) await setImmediate();
    if (line === "") continue;
    written++;
    const [, body = "", subject = "", before = "", learned = "", mac = ""] = LINE.exec(line) ?? [];
    if (!keys.verify(MAC_CONTEXT, Buffer.from(body), Buffer.from(mac, "base64url"))) {
      foreign++;
      continue;
    }
    const entry = { issuedBefore: Number(before), learnedAt: Number(learned) };
    const known = entries.get(subject);
    if (!known || known.issuedBefore < entry.issuedBefore) entries.set(subject, entry);
  }
  return { entries, lines: written, foreign };
}

async function contentOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
    throw error;
  }
}
