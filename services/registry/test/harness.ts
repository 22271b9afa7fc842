import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type DescService, fromBinary } from "@bufbuild/protobuf";
import { type JoinString, JoinStringSchema } from "@cloudvlan/gen/entity/v1/enrollment_pb.js";
import {
  type DnsRecord,
  DnsRecordSchema,
  type NodeRecord,
  NodeRecordSchema,
  type RelayMap,
  RelayMapSchema,
  SignedSchema,
} from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import {
  CvlanService,
  EnrollmentService,
  type JoinRequest,
  JoinRequestSchema,
  type JoinResponse,
  RegistryService,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { auditLog } from "@cloudvlan/kit/audit";
import { type Caller, callerKey } from "@cloudvlan/kit/caller";
import { type ChangeBatch, type ChangeStreams, changeStreams } from "@cloudvlan/kit/changes";
import { systemClock } from "@cloudvlan/kit/clock";
import type { Database, Store } from "@cloudvlan/kit/db";
import { Refusal, refusalFrom } from "@cloudvlan/kit/errors";
import { newId, type TenantId } from "@cloudvlan/kit/ids";
import { fileKeyProvider, type KeyProvider } from "@cloudvlan/kit/keys";
import { standings } from "@cloudvlan/kit/server";
import { errorLog } from "@cloudvlan/kit/testing";
import { createCsr, newTlsKey } from "@cloudvlan/kit/pki";
import { verifyRecord } from "@cloudvlan/kit/sign";
import { joinTranscript } from "@cloudvlan/kit/transcript";
import { type Client, ConnectError, createClient, createRouterTransport, type Interceptor } from "@connectrpc/connect";
import { sql } from "drizzle-orm";
import { config } from "../config.ts";
import { newKeyPair, proofOf } from "../domain/proof.ts";
import { registry } from "../service.ts";
import { type AuthPeer, authPeer } from "./auth.ts";

const clusterId = "cluster_00000000-0000-7000-8000-000000000001";

/** registry as the composer builds it, with auth's peer at the other end and the caller chosen by the test. */
export interface RegistryUnderTest extends Disposable {
  readonly auth: AuthPeer;
  readonly db: Database;
  readonly keys: KeyProvider;
  readonly changes: ChangeStreams;
  /** Messages logged as errors. */
  readonly errors: string[];
  as<S extends DescService>(service: S, caller?: Caller): Client<S>;
  /** Runs the job that finishes revocations until the condition holds; without one, until none is left. */
  redrive(condition?: () => boolean): Promise<void>;
  /** Runs the jobs while the condition does not hold yet. */
  working(until: () => Promise<boolean>): Promise<void>;
}

export const operator = (tenantId?: TenantId): Caller => ({
  workload: { kind: "none" },
  authority: { subject: "apikey:apikey_test", tenantId, permissions: new Set() },
  requestId: "request-1",
  address: "192.0.2.1",
});

export const anonymous: Caller = {
  workload: { kind: "none" },
  authority: undefined,
  requestId: "request-2",
  address: "192.0.2.2",
};

/** @param sharing a worker whose key provider this one shares, as the workers of one installation do. */
export async function startRegistry(
  store: Store,
  given: object = {},
  sharing?: RegistryUnderTest,
): Promise<RegistryUnderTest> {
  const folder = mkdtempSync(join(tmpdir(), "cvlan-registry-"));
  const errors: string[] = [];
  const log = errorLog(errors);
  await store.migrate("registry", registry.migrations);
  const db = store.database("registry");
  const keys = sharing?.keys ?? (await fileKeyProvider(join(folder, "master.key")));
  const changes = changeStreams({ db, service: "registry", heartbeatMs: 200 });
  const auth = sharing?.auth ?? authPeer();
  const toAuth = createRouterTransport((router) => auth.routes(router));
  const built = await registry.build({
    clusterId,
    data: folder,
    url: "https://control.example:8443",
    config: config.parse(given),
    log,
    clock: systemClock,
    db,
    changes,
    audit: auditLog(clusterId),
    keys,
    ca: {
      roots: () => Promise.reject(new Error("registry never asks the CA")),
      crossSigned: () => Promise.reject(new Error("registry never asks the CA")),
      intermediates: () => Promise.reject(new Error("registry never asks the CA")),
      sign: () => Promise.reject(new Error("registry never asks the CA")),
    },
    client: (service) => createClient(service, refusing(toAuth)),
    live: { size: 0, add: () => ({ [Symbol.dispose]() {} }), cut: () => 0 },
    denyHere() {},
    isDeniedHere: () => false,
    deniedBefore: [],
    standings: standings(),
  });
  async function working(holds: () => Promise<boolean>): Promise<void> {
    const stop = new AbortController();
    const jobs = (built.jobs ?? []).map((job) => job.run(stop.signal));
    await until(holds);
    stop.abort();
    await Promise.all(jobs);
  }
  return {
    auth,
    db,
    keys,
    changes,
    errors,
    as: (service, caller = operator()) => {
      const interceptors = [callingAs(caller)];
      return createClient(
        service,
        createRouterTransport((router) => built.routes(router), { router: { interceptors } }),
      );
    },
    redrive: (condition) => working(async () => (condition ? condition() : (await pendingDenials(db)) === 0)),
    working,
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

async function pendingDenials(db: Database): Promise<number> {
  const { rows } = (await db.platform((tx) => tx.execute(sql`select node_id from pending_denial`))) as {
    rows: unknown[];
  };
  return rows.length;
}

/** Waits for a condition, 30 s at most. */
export async function until(holds: () => Promise<boolean>): Promise<void> {
  const end = systemClock.monotonicMs() + 30_000;
  while (!(await holds())) {
    if (systemClock.monotonicMs() > end) throw new Error("the condition never held");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Refusals of another service arrive as such, which the chassis sees to. */
function refusing(transport: ReturnType<typeof createRouterTransport>): ReturnType<typeof createRouterTransport> {
  return {
    stream: (...call) => transport.stream(...call),
    unary: async (...call) => {
      try {
        return await transport.unary(...call);
      } catch (error) {
        throw (error instanceof ConnectError && refusalFrom(error)) || error;
      }
    },
  };
}

function callingAs(caller: Caller): Interceptor {
  return (next) => async (request) => {
    request.contextValues.set(callerKey, caller);
    try {
      return await next(request);
    } catch (error) {
      throw error instanceof Refusal ? error.toConnectError() : error;
    }
  };
}

/** The refusal that a call ends with. */
export async function refusalOf(call: Promise<unknown>): Promise<Refusal> {
  try {
    await call;
  } catch (error) {
    const refusal = error instanceof ConnectError ? refusalFrom(error) : undefined;
    if (refusal) return refusal;
    throw error;
  }
  throw new Error("the call was not refused");
}

export interface Place {
  readonly tenantId: TenantId;
  readonly cvlanId: string;
}

/** A new tenant with one cvlan. */
export async function newPlace(under: RegistryUnderTest, ipv4Pool = ""): Promise<Place> {
  const tenantId = newId("tenant", Date.now());
  under.auth.newTenant(tenantId);
  const { cvlan } = await under.as(CvlanService).createCvlan({ tenantId, name: "main", ipv4Pool });
  if (!cvlan) throw new Error("no cvlan");
  return { tenantId, cvlanId: cvlan.id };
}

export function parseJoinString(text: string): JoinString {
  return fromBinary(JoinStringSchema, Uint8Array.from(Buffer.from(text.replace("cvlan1.", ""), "base64url")));
}

export async function newToken(
  under: RegistryUnderTest,
  { tenantId, cvlanId }: Place,
  more: { ttlSeconds?: number; tags?: { tags: Record<string, string> }; groupIds?: string[] } = {},
): Promise<JoinString> {
  const { joinString } = await under.as(EnrollmentService).createJoinToken({ tenantId, cvlanId, ...more });
  return parseJoinString(joinString);
}

/** A machine with its three keys. */
export interface Machine {
  readonly tlsKey: string;
  readonly wireguard: ReturnType<typeof newKeyPair>;
  readonly control: ReturnType<typeof newKeyPair>;
}

export const newMachine = (): Machine => ({ tlsKey: newTlsKey(), wireguard: newKeyPair(), control: newKeyPair() });

/** A join request with good proofs, made against a new challenge. */
export async function joinRequest(
  under: RegistryUnderTest,
  token: JoinString,
  machine: Machine,
  name = "host",
): Promise<JoinRequest> {
  const { serverPublicKey, challenge } = await under.as(EnrollmentService, anonymous).beginJoin({});
  const csr = await createCsr(machine.tlsKey);
  const request = create(JoinRequestSchema, {
    tenantId: token.tenantId,
    tokenId: token.tokenId,
    secret: token.secret,
    challenge,
    csr,
    wireguardPublicKey: machine.wireguard.publicKey,
    controlPublicKey: machine.control.publicKey,
    name,
    capabilityVersion: 1,
  });
  const transcript = joinTranscript(request);
  const prove = (label: "wireguard" | "control", privateKey: Uint8Array): Uint8Array => {
    const proof = proofOf(label, privateKey, serverPublicKey, challenge, transcript);
    if (!proof) throw new Error("the server's key is of low order");
    return proof;
  };
  request.wireguardProof = prove("wireguard", machine.wireguard.privateKey);
  request.controlProof = prove("control", machine.control.privateKey);
  return request;
}

export async function joinAs(
  under: RegistryUnderTest,
  token: JoinString,
  machine: Machine = newMachine(),
  name = "host",
): Promise<JoinResponse> {
  return under.as(EnrollmentService, anonymous).join(await joinRequest(under, token, machine, name));
}

/** Joins a new machine with a new token and returns its node. */
export async function newNode(
  under: RegistryUnderTest,
  place: Place,
  name = "host",
): Promise<NonNullable<JoinResponse["node"]>> {
  const { node } = await joinAs(under, await newToken(under, place), newMachine(), name);
  if (!node) throw new Error("no node");
  return node;
}

/** What the cvlan's stream says now: verified records by node id, undefined for the removed. */
export async function streamOf(
  under: RegistryUnderTest,
  { tenantId, cvlanId }: Place,
): Promise<Map<string, NodeRecord | undefined>> {
  const batch: ChangeBatch = await under.changes.read(tenantId, cvlanId, 0n);
  return new Map(
    batch.changes.flatMap(({ objectId, change }): [string, NodeRecord | undefined][] => {
      if (change.case === "removal") return [[objectId, undefined]];
      if (change.case !== "node") return [];
      const signed = fromBinary(SignedSchema, change.value);
      if (!verifyRecord(under.auth.enrolKey(tenantId), "node", signed))
        throw new Error("a record's signature does not hold");
      return [[objectId, fromBinary(NodeRecordSchema, signed.payload)]];
    }),
  );
}

/** The DNS record in the cvlan's stream, verified. */
export async function dnsOf(under: RegistryUnderTest, { tenantId, cvlanId }: Place): Promise<DnsRecord | undefined> {
  const { changes } = await under.changes.read(tenantId, cvlanId, 0n);
  for (const { change } of changes) {
    if (change.case !== "dns") continue;
    const signed = fromBinary(SignedSchema, change.value);
    if (!verifyRecord(under.auth.enrolKey(tenantId), "dns", signed)) throw new Error("the signature does not hold");
    return fromBinary(DnsRecordSchema, signed.payload);
  }
  return undefined;
}

/** The relay map in the cvlan's stream, verified. */
export async function relayMapOf(
  under: RegistryUnderTest,
  { tenantId, cvlanId }: Place,
): Promise<RelayMap | undefined> {
  const { changes } = await under.changes.read(tenantId, cvlanId, 0n);
  for (const { change } of changes) {
    if (change.case !== "relayMap") continue;
    const signed = fromBinary(SignedSchema, change.value);
    if (!verifyRecord(under.auth.enrolKey(tenantId), "relay-map", signed))
      throw new Error("the signature does not hold");
    return fromBinary(RelayMapSchema, signed.payload);
  }
  return undefined;
}

/** Outcomes in the tenant's audit log, by object. */
export async function audited(under: RegistryUnderTest, tenantId: TenantId, objectId: string): Promise<string[]> {
  const { rows } = (await under.db.tenant(tenantId, (tx) =>
    tx.execute(sql`select outcome from audit_log where object_id = ${objectId} order by sequence`),
  )) as { rows: { outcome: string }[] };
  return rows.map((row) => row.outcome);
}

/** A statement of somebody who can write the tables and has no key. */
export async function tamper(under: RegistryUnderTest, tenantId: TenantId, statement: string): Promise<void> {
  await under.db.tenant(tenantId, (tx) => tx.execute(sql.raw(statement)));
}

export const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash("sha256").update(bytes).digest());

export const registryOf = (under: RegistryUnderTest): Client<typeof RegistryService> =>
  under.as(RegistryService, {
    workload: { kind: "service", name: "policy" },
    authority: undefined,
    requestId: "request-3",
    address: "local",
  });
