import { watch } from "node:fs";
import { readlink } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { toJson } from "@bufbuild/protobuf";
import { DnsStatusSchema, type EngineStatus, InterfaceKind } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { Clock } from "@cloudvlan/kit/clock";
import { Refusal } from "@cloudvlan/kit/errors";
import type { Logger } from "@cloudvlan/kit/log";
import { type Cell, cell, changedFrom } from "../state/cell.ts";
import { errnoOf } from "../state/files.ts";
import type { Problems } from "../state/problems.ts";
import { sleep } from "../time/backoff.ts";
import { applyFile, formerResolver } from "./file.ts";
import { readJournal, writeJournal } from "./journal.ts";
import { markOf } from "./resolv-conf.ts";
import { applyLink, linkHolds, type LinkNames, resolvedIsInCharge } from "./resolved.ts";
import { RESOLV_CONF, restoreHost } from "./restore.ts";

/** Milliseconds after which the host is looked at although nothing was heard. */
const LOOK_AGAIN_MS = 30_000;
/** Milliseconds that a program which writes a file is given to finish. */
const SETTLE_MS = 100;
/** Milliseconds that an engine is given to speak after the start of the agent, before what it left is put back. */
const START_GRACE_MS = 10_000;
/** How often another program is corrected in that many milliseconds before it gets its way. */
const MAX_CORRECTIONS = 5;
const CORRECTIONS_MS = 600_000;

export interface ResolverOptions {
  /** Whether the host's resolver may be set; otherwise what a former run set is put back. */
  readonly mode: "auto" | "off";
  readonly state: string;
  readonly status: Cell<EngineStatus | undefined>;
  /** Name servers of the host, told to the engine as its fallback; undefined until they were read. */
  readonly fallback: Cell<readonly string[] | undefined>;
  readonly problems: Problems;
  readonly log: Logger;
  readonly clock: Clock;
  /** The file that programs of this host read. */
  readonly path?: string;
}

/**
 * Has the host resolve names of the overlay through the engine for as long as the engine answers them, until the signal
 * aborts; then everything stays as it is, as the engine does.
 */
export async function keepResolver(options: ResolverOptions, signal: AbortSignal): Promise<void> {
  const path = options.path ?? RESOLV_CONF;
  const keeper = new Keeper(options, path);
  let writes = 0;
  const concern = cell("");
  const tell = () => concern.set(`${writes} ${concernOf(options.status.get())}`);
  using _watching = watchFile(path, () => {
    writes += 1;
    tell();
  });
  const listening = (async () => {
    for await (const _ of options.status.values(signal)) tell();
  })();
  while (!signal.aborted) {
    const seen = concern.get();
    await keeper.look();
    const rest = AbortSignal.any([signal, AbortSignal.timeout(LOOK_AGAIN_MS)]);
    await sleep(LOOK_AGAIN_MS, changedFrom(concern, seen, rest));
    await sleep(SETTLE_MS, signal);
  }
  await listening;
}

/** The part of the status that the host's resolver depends on. */
function concernOf(status: EngineStatus | undefined): string {
  if (!status) return "";
  const { instanceId, interfaceName, interfaceKind, dns } = status;
  return JSON.stringify([instanceId, interfaceName, interfaceKind, dns && toJson(DnsStatusSchema, dns)]);
}

class Keeper {
  readonly #options: ResolverOptions;
  readonly #path: string;
  readonly #startedAt: number;
  /** When another program was corrected, oldest first. */
  #corrections: number[] = [];
  /** What this run wrote last, until it was put back. */
  #written: string | undefined;
  /** What a link was given last. */
  #link: string | undefined;
  /** Another program got its way; it stays so until the agent starts again. */
  #gaveUp: Refusal | undefined;
  #engineSpoke = false;

  constructor(options: ResolverOptions, path: string) {
    this.#options = options;
    this.#path = path;
    this.#startedAt = options.clock.monotonicMs();
  }

  /** Compares what is with what should be, and changes what differs. */
  async look(): Promise<void> {
    const { problems, log, fallback, state } = this.#options;
    try {
      const { nameservers } = await formerResolver({ path: this.#path, state });
      if (nameservers.join() !== fallback.get()?.join()) fallback.set(nameservers);
      await this.#follow();
      problems.clear("resolver");
    } catch (error) {
      // The engine gets its settings all the same.
      if (!fallback.get()) fallback.set([]);
      if (problems.report("resolver", error)) log.error({ error }, "the host's resolver is not what it should be");
    }
  }

  async #follow(): Promise<void> {
    const { status, mode } = this.#options;
    const now = status.get();
    if (now) this.#engineSpoke = true;
    const names = mode === "auto" && now ? namesOf(now) : undefined;
    if (names && now) return this.#apply(names, now);
    if (mode === "auto" && !this.#engineSpoke && !this.#waitedLong()) return;
    await this.#restore();
    if (mode === "auto" && now && isAsked(now) && now.dns?.error) throw notListening(now.dns.error);
  }

  #waitedLong(): boolean {
    return this.#options.clock.monotonicMs() - this.#startedAt > START_GRACE_MS;
  }

  async #apply(names: LinkNames, { instanceId, membership }: EngineStatus): Promise<void> {
    const { state, log } = this.#options;
    if (this.#gaveUp) throw this.#gaveUp;
    const journal = await readJournal(state);
    const byLink = journal ? journal.backend === "resolved" : await resolvedIsInCharge(this.#path);
    if (byLink) return this.#applyLink(names, instanceId);
    if (await belongsElsewhere()) return;
    const file = { path: this.#path, state, mark: markOf(membership?.nodeId ?? "") };
    try {
      const applied = await applyFile(file, names, (text) => this.#admitWrite(text));
      this.#written = applied.text;
      if (applied.written) log.info({ path: this.#path }, "names are resolved by the engine");
    } catch (error) {
      if (error === this.#gaveUp) await restoreHost(state, this.#path);
      throw error;
    }
  }

  /** A file that differs from what this run wrote was written by another program. */
  #admitWrite(text: string): void {
    if (this.#written === undefined || this.#written === text) return;
    const now = this.#options.clock.monotonicMs();
    this.#corrections = [...this.#corrections.filter((at) => now - at < CORRECTIONS_MS), now];
    if (this.#corrections.length <= MAX_CORRECTIONS) return;
    const message = `another program keeps rewriting ${this.#path}; names of the overlay are not resolved on this host`;
    this.#gaveUp = new Refusal("conflict", "RESOLV_CONF_REWRITTEN", message, {
      remedy:
        "stop that program from writing it (or use systemd-resolved) and restart the agent, or set `resolver: off`",
    });
    throw this.#gaveUp;
  }

  async #applyLink(names: LinkNames, instanceId: string): Promise<void> {
    const { state, log } = this.#options;
    // With the engine its interface goes, and what was set for it.
    const wanted = JSON.stringify([instanceId, names]);
    if (wanted === this.#link && (await linkHolds(names))) return;
    await writeJournal(state, { version: 1, backend: "resolved", interface: names.interfaceName });
    await applyLink(names);
    this.#link = wanted;
    log.info({ interface: names.interfaceName }, "systemd-resolved asks the engine for names");
  }

  async #restore(): Promise<void> {
    const { state, log } = this.#options;
    this.#written = undefined;
    this.#link = undefined;
    if (await restoreHost(state, this.#path)) log.info({ path: this.#path }, "the host's resolver is as before");
  }
}

/** Programs of the host reach nobody of the overlay without an interface, and need no names of it. */
function isAsked({ interfaceKind }: EngineStatus): boolean {
  return interfaceKind !== InterfaceKind.USERSPACE;
}

/** What the engine answers for, while it does. */
function namesOf(status: EngineStatus): LinkNames | undefined {
  const { dns, interfaceName } = status;
  if (!dns?.listen || !isAsked(status)) return undefined;
  return {
    server: dns.listen.address,
    domain: dns.domain,
    interfaceName,
    routingDomains: [...dns.reverseZones, ...dns.routes.map(({ suffix }) => suffix)],
  };
}

function notListening(error: string): Refusal {
  const [message = "", remedy = ""] = error.split("; ", 2);
  return new Refusal("unavailable", "DNS_NOT_LISTENING", `names are not answered: ${message}`, { remedy });
}

/**
 * True when this process has a network of its own and the files of the machine: its file of resolvers is another network's.
 */
async function belongsElsewhere(): Promise<boolean> {
  const same = async (kind: string) =>
    (await readlink(`/proc/self/ns/${kind}`)) === (await readlink(`/proc/1/ns/${kind}`));
  try {
    return (await same("mnt")) && !(await same("net"));
  } catch (error) {
    // Only root may look at process 1, and only root can write the file.
    if (["EACCES", "EPERM", "ENOENT"].includes(errnoOf(error) ?? "")) return false;
    throw error;
  }
}

/** Tells when a file is replaced or written. A folder that cannot be watched is looked at now and then all the same. */
function watchFile(path: string, tell: () => void): Disposable {
  const name = basename(path);
  try {
    const watcher = watch(dirname(path), (_event, file) => {
      if (file === name) tell();
    });
    watcher.on("error", () => watcher.close());
    return { [Symbol.dispose]: () => watcher.close() };
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return { [Symbol.dispose]: () => undefined };
  }
}
