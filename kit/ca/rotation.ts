import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { z } from "zod";
import { Refusal } from "../errors/index.ts";
import { createWhole, replaceWhole, syncFolder } from "../files/index.ts";
import { crossSign, type NewAuthority, newAuthority } from "./authority.ts";

/**
 * What is under way in the folder of a CA. `root.pem`, which auth reads and hands out, has the root to pin first, then
 * others that are to be trusted, then keys of roots
 * that roots certified, then what issues leaves. `ca.json` says what step-ca issues with.
 */
const stateSchema = z.strictObject({
  stage: z.enum(["preparing", "prepared", "switched"]),
  /** When the stage was reached, milliseconds since the Unix epoch. */
  at: z.number(),
  /** Folder of the new authority. */
  next: z.string(),
  /** The root that goes, PEM. */
  former: z.string(),
  /** Folder of the authority that goes. */
  formerFolder: z.string(),
});
type State = z.infer<typeof stateSchema>;

const configSchema = z.looseObject({ root: z.string(), crt: z.string(), key: z.string() });

const STATE = "rotation.json";
/** The one root that step-ca issues under, where `root.pem` has more. */
const ISSUING = "issuing-root.pem";
/** The two roots' certificates for each other's key. */
const CROSS = "cross.pem";
const FILES = {
  "root.pem": "rootPem",
  "root.key": "rootKeyPem",
  "intermediate.pem": "intermediatePem",
  "intermediate.key": "intermediateKeyPem",
} as const satisfies Record<string, keyof NewAuthority>;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g;

/**
 * Makes the next root and its intermediate, each root certifying the other's key, and publishes both roots. The CA goes on
 * with what it has.
 * @throws Refusal `conflict` when a replacement is under way.
 */
export async function prepareRotation(folder: string, clusterId: string, nowMs: number): Promise<void> {
  const ca = resolve(folder);
  const state = (await readState(ca)) ?? (await begin(ca, clusterId, nowMs));
  if (state.stage !== "preparing")
    throw conflict("CA_ROTATION_UNDER_WAY", "the root is being replaced", "go on with switch or retire");
  const { next, former, formerFolder } = state;
  // step-ca must not take the whole of root.pem for its own roots from here on.
  await createWhole(join(formerFolder, ISSUING), former);
  await writeConfig(ca, { ...(await readConfig(ca)), root: join(formerFolder, ISSUING) });
  const root = await readFile(join(next, "root.pem"), "utf8");
  const crossSigned = certificatesIn(await readFile(join(next, CROSS), "utf8"));
  const issuing = [await intermediateIn(formerFolder), await intermediateIn(next)];
  const published = new Set([former, root, ...(await publishedBy(ca)), ...crossSigned, ...issuing]);
  await replaceWhole(join(ca, "root.pem"), [...published].join(""));
  await writeState(ca, { ...state, stage: "prepared", at: nowMs });
}

/** Makes the next authority; a crash from here on is gone on from. */
async function begin(ca: string, clusterId: string, nowMs: number): Promise<State> {
  const formerFolder = dirname((await readConfig(ca)).key);
  const [former = ""] = await publishedBy(ca);
  const made = await newAuthority(clusterId, nowMs);
  const rootKeyPem = await readFile(join(formerFolder, "root.key"), "utf8");
  const byFormer = await crossSign(made.rootPem, { rootPem: former, rootKeyPem }, nowMs);
  const byNext = await crossSign(former, made, nowMs);
  const next = join(ca, `authority-${nowMs}-${randomBytes(4).toString("hex")}`);
  await keepAuthority(next, made, [byFormer, byNext]);
  const state = { stage: "preparing", at: nowMs, next, former, formerFolder } as const;
  await writeState(ca, state);
  return state;
}

/**
 * Has the CA issue from the next root once it runs again. Whoever renewed since `prepareRotation` knows that root.
 * @param lifetimeSeconds of the longest certificate that is issued.
 * @throws Refusal `conflict` when the roots are not published for that long.
 */
export async function switchIssuer(folder: string, lifetimeSeconds: number, nowMs: number): Promise<void> {
  const ca = resolve(folder);
  const state = await requireStage(ca, "prepared", "prepare");
  requireElapsed(
    state,
    lifetimeSeconds,
    nowMs,
    "nodes and services that have not renewed since do not know the new root",
  );
  const { next, former } = state;
  const config = await readConfig(ca);
  await writeConfig(ca, {
    ...config,
    root: join(next, "root.pem"),
    crt: join(next, "intermediate.pem"),
    key: join(next, "intermediate.key"),
  });
  const root = await readFile(join(next, "root.pem"), "utf8");
  const published = new Set([root, former, ...(await publishedBy(ca))]);
  await replaceWhole(join(ca, "root.pem"), [...published].join(""));
  await writeState(ca, { ...state, stage: "switched", at: nowMs });
}

/**
 * Withdraws the former root and destroys its keys. What it said of its successor stays published: machines that were away
 * find their way by it.
 * @param lifetimeSeconds of the longest certificate that is issued.
 * @throws Refusal `conflict` when certificates of the former root may be alive.
 */
export async function retireRoot(folder: string, lifetimeSeconds: number, nowMs: number): Promise<void> {
  const ca = resolve(folder);
  const state = await requireStage(ca, "switched", "switch");
  requireElapsed(state, lifetimeSeconds, nowMs, "certificates of the former root may be alive");
  const { former, formerFolder } = state;
  const gone = new Set([former, await intermediateIn(formerFolder)]);
  const kept = (await publishedBy(ca)).filter((pem) => !gone.has(pem));
  await replaceWhole(join(ca, "root.pem"), kept.join(""));
  for (const name of ["root.key", "intermediate.key"]) await rm(join(formerFolder, name), { force: true });
  await rm(join(ca, STATE));
  await syncFolder(ca);
}

async function keepAuthority(folder: string, authority: NewAuthority, crossSigned: readonly string[]): Promise<void> {
  const draft = `${folder}.draft`;
  await mkdir(draft, { mode: 0o700 });
  for (const [name, part] of Object.entries(FILES)) await createWhole(join(draft, name), authority[part]);
  await createWhole(join(draft, CROSS), crossSigned.join(""));
  await rename(draft, folder);
  await syncFolder(dirname(folder));
}

/** Certificates of `root.pem`, PEM, in order. */
async function publishedBy(ca: string): Promise<string[]> {
  return certificatesIn(await readFile(join(ca, "root.pem"), "utf8"));
}

function certificatesIn(text: string): string[] {
  return [...text.matchAll(CERTIFICATE)].map(([pem]) => (pem.endsWith("\n") ? pem : `${pem}\n`));
}

async function intermediateIn(folder: string): Promise<string> {
  return readFile(join(folder, "intermediate.pem"), "utf8");
}

async function readConfig(ca: string): Promise<z.infer<typeof configSchema>> {
  return configSchema.parse(JSON.parse(await readFile(join(ca, "ca.json"), "utf8")));
}

async function writeConfig(ca: string, config: object): Promise<void> {
  await replaceWhole(join(ca, "ca.json"), JSON.stringify(config, undefined, 2));
}

async function readState(ca: string): Promise<State | undefined> {
  try {
    return stateSchema.parse(JSON.parse(await readFile(join(ca, STATE), "utf8")));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

async function writeState(ca: string, state: State): Promise<void> {
  await replaceWhole(join(ca, STATE), JSON.stringify(state, undefined, 2));
}

async function requireStage(ca: string, stage: State["stage"], before: string): Promise<State> {
  const state = await readState(ca);
  if (state?.stage === stage) return state;
  throw conflict("CA_ROTATION_ORDER", `the root is not at the stage ${stage}`, `the step before is ${before}`);
}

function requireElapsed(state: State, lifetimeSeconds: number, nowMs: number, why: string): void {
  const due = state.at + lifetimeSeconds * 1000;
  if (nowMs >= due) return;
  throw conflict("CA_ROTATION_TOO_EARLY", why, `try again after ${new Date(due).toISOString()}`);
}

function conflict(reason: string, message: string, remedy: string): Refusal {
  return new Refusal("conflict", reason, message, { field: "ca", remedy });
}
