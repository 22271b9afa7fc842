import { open } from "node:fs/promises";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { JsonValue } from "@bufbuild/protobuf";
import type { EngineStatus } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { formatAddress } from "@cloudvlan/kit/net";
import { createTar } from "nanotar";
import { type Anonymiser, anonymiser } from "./anonymise.ts";
import type { Collected } from "./collect.ts";
import { withoutSecrets } from "./secrets.ts";

const compress = promisify(gzip);

/** Fields of log lines that hold names. */
const NAMED = ["node", "name", "cvlan", "tenant", "peer", "host"];

const README = `A report of one CloudVLAN node, made by \`cvlan debug bundle\`.

status.json     what \`cvlan status --json\` says; counters stand under engine.counters
doctor.json     what \`cvlan doctor\` finds
versions.json   of the parts and of the system
config.json     the agent's configuration in force
agent.log       the agent's newest lines; engine.log the engine's
addresses.json  of this host (\`ip -j address\`); routes.json its routes
resolv.conf     of this host
missing.json    what could not be had, and why

It holds no key, token or password.
`;
const ANONYMISED = `Names, ids, addresses, domains and public keys are replaced: the same one by the same word, as \`name-3\` or \`ipv4-7\`.
`;

/** The files of a bundle by name. */
export type Files = ReadonlyMap<string, string>;

/** The files as they are written: without secrets, and without what tells whose machine it is unless that is wanted. */
export function filesOf(collected: Collected, anonymise: boolean): Files {
  const hide = anonymise ? introduced(collected) : undefined;
  const json = (value: JsonValue) => (hide ? hide.json(value) : value);
  const files = new Map([["README.txt", anonymise ? README + ANONYMISED : README]]);
  for (const [name, document] of collected.documents) {
    files.set(name, withoutSecrets(`${JSON.stringify(json(document), undefined, 2)}\n`));
  }
  for (const [name, text] of collected.texts) {
    const lines = text.split("\n").map((line) => {
      const parsed = objectIn(line);
      if (parsed) return withoutSecrets(JSON.stringify(json(parsed)));
      return withoutSecrets(hide ? hide.text(line) : line);
    });
    files.set(name, lines.join("\n"));
  }
  return files;
}

/**
 * Writes a new tar file, gzipped, for its owner alone.
 * @returns its size in bytes.
 * @throws Refusal when the file exists or cannot be written.
 */
export async function writeBundle(path: string, files: Files, nowMs: number): Promise<number> {
  const attrs = { mode: "600", mtime: nowMs, uid: 0, gid: 0 };
  const entries = [...files].map(([name, data]) => ({ name: `cvlan-debug/${name}`, data, attrs }));
  const bytes = await compress(createTar(entries));
  try {
    await using file = await open(path, "wx", 0o600);
    await file.writeFile(bytes);
    await file.sync();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
    if (code === "EEXIST") {
      throw new Refusal("exists", "FILE_EXISTS", `${path} exists`, { remedy: "name another file with --out" });
    }
    throw new Refusal("conflict", "FILE_NOT_WRITTEN", `${path} cannot be written (${code})`, {
      remedy: "name a file in a folder of yours with --out",
    });
  }
  return bytes.length;
}

/** An anonymiser that knows whom this machine knows. */
function introduced({ status, debug, texts, host }: Collected): Anonymiser {
  const hide = anonymiser();
  hide.know("name", host.name);
  if (host.user !== "root") hide.know("name", host.user);
  for (const name of [status?.name, status?.cvlanName]) hide.know("name", name ?? "");
  if (status && URL.canParse(status.controllerUrl)) hide.know("domain", new URL(status.controllerUrl).hostname);
  if (status?.engine) introduceEngine(hide, status.engine);
  for (const [, value] of Object.entries(debug?.config ?? {})) {
    if (URL.canParse(value)) hide.know("domain", new URL(value).hostname);
  }
  for (const line of (texts.get("resolv.conf") ?? "").split("\n")) {
    const [keyword = "", ...domains] = line.trim().split(/\s+/);
    if (keyword === "search" || keyword === "domain") for (const domain of domains) hide.know("domain", domain);
  }
  for (const name of ["agent.log", "engine.log"]) {
    for (const line of (texts.get(name) ?? "").split("\n")) introduceLine(hide, objectIn(line) ?? {});
  }
  return hide;
}

function introduceEngine(hide: Anonymiser, engine: EngineStatus): void {
  hide.know("name", engine.name);
  hide.know("domain", engine.dns?.domain ?? "");
  for (const zone of engine.dns?.reverseZones ?? []) hide.know("domain", zone);
  for (const { name } of engine.peers) hide.know("name", name);
  const prefixes = [
    ...engine.addresses,
    ...engine.routes,
    ...engine.ownRoutes,
    ...engine.peers.flatMap(({ addresses }) => addresses),
  ];
  for (const { address } of prefixes) {
    if (address.length !== 4 && address.length !== 16) continue;
    // The JSON form has bytes in base64.
    const kind = address.length === 4 ? "ipv4" : "ipv6";
    hide.know(kind, Buffer.from(address).toString("base64"), formatAddress(address));
  }
}

function introduceLine(hide: Anonymiser, line: Readonly<Record<string, JsonValue>>): void {
  for (const field of NAMED) {
    const value = line[field];
    if (typeof value === "string") hide.know("name", value);
  }
}

/** The object that a line of a log is. */
function objectIn(line: string): { [key: string]: JsonValue } | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line) as { [key: string]: JsonValue };
  } catch {
    return undefined;
  }
}
