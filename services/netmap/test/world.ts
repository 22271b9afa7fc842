import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { type Change, ObjectKind, RemovalSchema } from "@cloudvlan/gen/entity/v1/events_pb.js";
import {
  DelegatedKeySchema,
  type DelegatedKey,
  DnsRecordSchema,
  KeyRole,
  KeysetSchema,
  NodeRecordSchema,
  PolicyManifestSchema,
  RelayMapSchema,
  RuleRecordSchema,
  type Signed,
  SignedSchema,
} from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { EffectiveSettingsSchema, SettingsSchema } from "@cloudvlan/gen/entity/v1/settings_pb.js";
import { NodeStatus } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { NodeService, RegistryService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { auditLog } from "@cloudvlan/kit/audit";
import type { Caller, ServiceName } from "@cloudvlan/kit/caller";
import { type ChangeStreams, changeStreams } from "@cloudvlan/kit/changes";
import { systemClock } from "@cloudvlan/kit/clock";
import type { Store } from "@cloudvlan/kit/db";
import { delegatedKeys } from "@cloudvlan/kit/delegation";
import { type CvlanId, isId, newId, type NodeId, type TenantId } from "@cloudvlan/kit/ids";
import { Refusal, refusalFrom } from "@cloudvlan/kit/errors";
import { fileKeyProvider, type KeyProvider } from "@cloudvlan/kit/keys";
import { type Standings, standings } from "@cloudvlan/kit/server";
import type { Logger } from "@cloudvlan/kit/log";
import {
  newSigningSeed,
  type SigningKey,
  signingKeyFromSeed,
  signRecord,
  signRootTransition,
} from "@cloudvlan/kit/sign";
import { ConnectError, createClient, createRouterTransport, type Transport } from "@connectrpc/connect";
import { createHash } from "node:crypto";
import { config, type NetmapConfig } from "../config.ts";
import { locator } from "../handlers/locate.ts";
import { type ReportDeps, reportLimit } from "../handlers/report.ts";
import { type WatchDeps, watchStream } from "../handlers/watch.ts";
import { keysets } from "../live/keysets.ts";
import { openPresence } from "../live/presence.ts";
import { type Maps, openMaps } from "../live/maps.ts";
import { nodeRecord, type RuleInit, ruleRecord } from "./records.ts";
import { Mirror } from "./mirror.ts";

const MIGRATIONS = fileURLToPath(new URL("../migrations", import.meta.url));
const HEARTBEAT_MS = 1_000;

/** What a worker said above `info`. */
export interface Said {
  readonly level: "warn" | "error";
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

export interface Worker {
  readonly maps: Maps;
  readonly deps: WatchDeps & ReportDeps;
  readonly said: Said[];
  /** What it has heard of tenants. */
  readonly standings: Standings;
  /** Opens the map stream of a node and keeps a mirror of what it is told. */
  watch(nodeId: NodeId, from?: Mirror): Mirror;
  stop(): Promise<void>;
}

/**
 * One tenant with one cvlan as the other services keep them: registry's and policy's change streams on the real store,
 * signed by real keys, and what netmap asks of auth.
 */
export interface World {
  readonly tenantId: TenantId;
  readonly cvlanId: CvlanId;
  readonly enrolKey: SigningKey;
  readonly policyKey: SigningKey;
  /** The first one, which nodes pin. */
  readonly rootPublicKey: Uint8Array;
  newNode(): NodeId;
  /** Registers nodes; a node of the same id is replaced. */
  putNodes(...nodes: { nodeId: NodeId; address?: string; tags?: string[]; routes?: string[] }[]): Promise<void>;
  removeNode(nodeId: NodeId): Promise<void>;
  /** Signs the DNS record of the cvlan at a revision and tells of it. */
  putDns(domain: string, revision: bigint, key?: SigningKey, cvlanId?: string): Promise<void>;
  /** Signs the relay map of the cvlan at a revision, with one server of this id, and tells of it. */
  putRelayMap(server: string, revision: bigint, key?: SigningKey, cvlanId?: string): Promise<void>;
  /** Tells what is in force for the cvlan. */
  putSettings(settings: MessageInitShape<typeof SettingsSchema>): Promise<void>;
  /** Puts a policy version in force. */
  putPolicy(...rules: RuleInit[]): Promise<void>;
  /** Where policy's stream stands. */
  policyRevision(): Promise<bigint>;
  /** Appends to the stream of a source as whoever can write its tables. */
  inject(source: "registry" | "policy", objectId: string, change: Change["change"]): Promise<void>;
  signNode(
    nodeId: NodeId,
    init: { address: string; tags?: string[]; revision: bigint; key?: SigningKey; tenantId?: string; cvlanId?: string },
  ): Uint8Array;
  /** Puts another root key in the place of the tenant's, which signs that. */
  rotateRoot(): Promise<void>;
  /** Adds a key to the keyset. */
  delegate(role: KeyRole, publicKey: Uint8Array): Promise<string>;
  worker(store: Store, overrides?: Partial<NetmapConfig>): Worker;
  dispose(): void;
}

export async function makeWorld(store: Store): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), "cvlan-netmap-"));
  await migrate(store, folder);
  const keyProvider = await fileKeyProvider(join(folder, "secret", "master.key"));
  const sources = { registry: source(store, "registry"), policy: source(store, "policy"), auth: source(store, "auth") };
  const now = Date.now();
  const tenantId = newId("tenant", now);
  const cvlanId = newId("cvlan", now);
  const scope = { tenantId, cvlanId };
  let root = signingKeyFromSeed("root", newSigningSeed());
  const { publicKey: pinnedRoot } = root;
  const rootTransitions: Signed[] = [];
  const delegated: DelegatedKey[] = [];
  const revoked = new Set<string>();
  const revisions = new Map<string, bigint>();
  let version = 0n;
  let policyVersion = 0n;

  const keyset = (): Signed => {
    const payload = toBinary(
      KeysetSchema,
      create(KeysetSchema, { tenantId, version, keys: delegated, issuedAt: timestampFromMs(now) }),
    );
    return signRecord(root, "keyset", payload);
  };
  const delegate = async (role: KeyRole, publicKey: Uint8Array): Promise<string> => {
    const known = delegated.find((key) => Buffer.from(key.publicKey).equals(publicKey));
    if (known) return known.keyId;
    const keyId = newId("key", Date.now());
    const validity = { notBefore: timestampFromMs(now - 60_000), notAfter: timestampFromMs(now + 3_600_000) };
    delegated.push(create(DelegatedKeySchema, { keyId, role, publicKey, ...validity }));
    await publish();
    return keyId;
  };
  const publish = async (): Promise<void> => {
    version++;
    const value = toBinary(SignedSchema, keyset());
    await store
      .database("auth")
      .platform((tx) => sources.auth.append(tx, "auth", [{ objectId: tenantId, change: { case: "keyset", value } }]));
  };
  const newKey = async (role: KeyRole): Promise<SigningKey> => {
    const seed = newSigningSeed();
    return signingKeyFromSeed(await delegate(role, signingKeyFromSeed("", seed).publicKey), seed);
  };
  const enrolKey = await newKey(KeyRole.ENROL);
  const policyKey = await newKey(KeyRole.POLICY);

  const append = async (of: "registry" | "policy", changes: { objectId: string; change: Change["change"] }[]) => {
    await store.database(of).tenant(tenantId, (tx) => sources[of].append(tx, cvlanId, changes));
  };
  const signNode: World["signNode"] = (nodeId, { address, key, ...init }) => {
    const record = nodeRecord({ ...scope, nodeId, addresses: [`${address}/32`], ...init });
    return toBinary(SignedSchema, signRecord(key ?? enrolKey, "node", toBinary(NodeRecordSchema, record)));
  };

  const router = createRouterTransport((router) => {
    router.service(AuthService, {
      getKeyset: () => ({ keyset: keyset(), rootPublicKey: root.publicKey, rootTransitions }),
      delegateKey: async ({ role, publicKey }) => ({
        keyId: await delegate(role, publicKey),
        keyset: keyset(),
        rootPublicKey: root.publicKey,
      }),
      watchChanges: ({ since }, { signal }) => sources.auth.watch(undefined, "auth", since, signal),
    });
    router.service(NodeService, {
      getNode: ({ nodeId }) => {
        if (!revisions.has(nodeId) && !revoked.has(nodeId))
          throw new Refusal("not_found", "NODE_UNKNOWN", "no such node").toConnectError();
        return { node: { id: nodeId, ...scope, status: revoked.has(nodeId) ? NodeStatus.REVOKED : NodeStatus.ACTIVE } };
      },
    });
    router.service(RegistryService, {
      watchChanges: ({ since }, { signal }) => told(sources.registry.watch(tenantId, cvlanId, since, signal)),
    });
    router.service(PolicyService, {
      watchChanges: ({ since }, { signal }) => sources.policy.watch(tenantId, cvlanId, since, signal),
    });
  });
  // As the chassis does it: what another service refuses is a refusal here.
  const transport: Transport = {
    stream: async (...call) => {
      const response = await router.stream(...call);
      return { ...response, message: heard(response.message) };
    },
    unary: async (...call) => {
      try {
        return await router.unary(...call);
      } catch (error) {
        throw (error instanceof ConnectError ? refusalFrom(error) : undefined) ?? error;
      }
    },
  };

  let made = 0;
  const rulesInForce = new Map<string, { init: string; signed: Signed; ruleId: Uint8Array }>();
  return {
    ...scope,
    enrolKey,
    policyKey,
    rootPublicKey: pinnedRoot,
    rotateRoot: async () => {
      const next = signingKeyFromSeed("root", newSigningSeed());
      const sequence = BigInt(rootTransitions.length + 1);
      rootTransitions.push(signRootTransition(root, tenantId, sequence, next.publicKey, now));
      root = next;
      await publish();
    },
    newNode: () => {
      const id = newId("node", Date.now());
      revisions.set(id, 0n);
      return id;
    },
    putNodes: async (...nodes) => {
      await append(
        "registry",
        nodes.map(({ nodeId, address, ...init }) => {
          const revision = (revisions.get(nodeId) ?? 0n) + 1n;
          revisions.set(nodeId, revision);
          made++;
          const value = signNode(nodeId, {
            address: address ?? `10.${made >> 16}.${(made >> 8) & 255}.${made & 255}`,
            revision,
            ...init,
          });
          return { objectId: nodeId, change: { case: "node" as const, value } };
        }),
      );
    },
    removeNode: async (nodeId) => {
      revoked.add(nodeId);
      await append("registry", [
        { objectId: nodeId, change: { case: "removal", value: create(RemovalSchema, { kind: ObjectKind.NODE }) } },
      ]);
    },
    putDns: async (domain, recordRevision, key = enrolKey, ofCvlan = cvlanId) => {
      const record = create(DnsRecordSchema, { tenantId, cvlanId: ofCvlan, recordRevision, domain });
      const value = toBinary(SignedSchema, signRecord(key, "dns", toBinary(DnsRecordSchema, record)));
      await append("registry", [{ objectId: "dns", change: { case: "dns", value } }]);
    },
    putRelayMap: async (server, recordRevision, key = enrolKey, ofCvlan = cvlanId) => {
      const endpoints = [{ address: Uint8Array.of(192, 0, 2, 1), port: 3478 }];
      const servers = [{ id: server, region: "eu-west", endpoints }];
      const record = create(RelayMapSchema, { tenantId, cvlanId: ofCvlan, recordRevision, servers });
      const value = toBinary(SignedSchema, signRecord(key, "relay-map", toBinary(RelayMapSchema, record)));
      await append("registry", [{ objectId: "relay_map", change: { case: "relayMap", value } }]);
    },
    putSettings: async (settings) => {
      const value = create(EffectiveSettingsSchema, { settings: create(SettingsSchema, settings) });
      await append("registry", [{ objectId: "settings", change: { case: "settings", value } }]);
    },
    putPolicy: async (...rules) => {
      policyVersion++;
      const changes: { objectId: string; change: Change["change"] }[] = [];
      const wanted = new Set(rules.map(({ name }) => name));
      for (const [name, { ruleId }] of rulesInForce) {
        if (wanted.has(name)) continue;
        rulesInForce.delete(name);
        changes.push({
          objectId: ruleObject(ruleId),
          change: { case: "removal", value: create(RemovalSchema, { kind: ObjectKind.RULE }) },
        });
      }
      for (const rule of rules) {
        const init = JSON.stringify(rule, (_, value: unknown) => (value instanceof Uint8Array ? [...value] : value));
        if (rulesInForce.get(rule.name)?.init === init) continue;
        const record = ruleRecord({ ...scope, ...rule, version: policyVersion });
        const signed = signRecord(policyKey, "rule", toBinary(RuleRecordSchema, record));
        rulesInForce.set(rule.name, { init, signed, ruleId: record.ruleId });
        changes.push({
          objectId: ruleObject(record.ruleId),
          change: { case: "rule", value: toBinary(SignedSchema, signed) },
        });
      }
      const hash = createHash("sha256");
      const sorted = [...rulesInForce.values()].sort((a, b) => Buffer.compare(a.ruleId, b.ruleId));
      for (const { signed } of sorted) hash.update(createHash("sha256").update(signed.payload).digest());
      const manifest = create(PolicyManifestSchema, {
        ...scope,
        policyVersion,
        rulesSha256: hash.digest(),
        rules: sorted.length,
      });
      const value = toBinary(SignedSchema, signRecord(policyKey, "manifest", toBinary(PolicyManifestSchema, manifest)));
      await append("policy", [...changes, { objectId: "manifest", change: { case: "manifest", value } }]);
    },
    policyRevision: async () => (await sources.policy.read(tenantId, cvlanId, 0n)).revision,
    inject: (of, objectId, change) => append(of, [{ objectId, change }]),
    signNode,
    delegate,
    worker: (on, overrides = {}) =>
      startWorker(
        on,
        transport,
        keyProvider,
        scope,
        { ...config.parse({ head_seconds: 0.4 }), ...overrides },
        pinnedRoot,
      ),
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** What a handler throws, as the chassis tells it. */
async function* told<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* items;
  } catch (error) {
    throw error instanceof Refusal ? error.toConnectError() : error;
  }
}

/** What another service throws, as the chassis hears it. */
async function* heard<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* items;
  } catch (error) {
    throw (error instanceof ConnectError ? refusalFrom(error) : undefined) ?? error;
  }
}

function ruleObject(ruleId: Uint8Array): string {
  return `rule_${Buffer.from(ruleId).toString("hex")}`;
}

async function migrate(store: Store, folder: string): Promise<void> {
  const empty = join(folder, "empty");
  mkdirSync(join(empty, "meta"), { recursive: true });
  writeFileSync(
    join(empty, "meta", "_journal.json"),
    JSON.stringify({ version: "7", dialect: "postgresql", entries: [] }),
  );
  for (const service of ["registry", "policy", "auth"] as const) await store.migrate(service, empty);
  await store.migrate("netmap", MIGRATIONS);
}

function source(store: Store, service: ServiceName): ChangeStreams {
  return changeStreams({ db: store.database(service), service, heartbeatMs: HEARTBEAT_MS });
}

function recorder(said: Said[]): Logger {
  const say = (level: Said["level"]) => (fields: object, message: string) =>
    void said.push({ level, message, fields: { ...fields } });
  const log: Logger = { debug() {}, info() {}, warn: say("warn"), error: say("error"), child: () => log };
  return log;
}

export function callerOf(tenantId: TenantId, nodeId: NodeId): Caller {
  const workload = { kind: "node" as const, tenantId, nodeId, issuedAt: 0, expired: false };
  return { workload, authority: undefined, requestId: "test", address: "192.0.2.1" };
}

function startWorker(
  store: Store,
  transport: Transport,
  keys: KeyProvider,
  scope: { tenantId: TenantId; cvlanId: CvlanId },
  settings: NetmapConfig,
  rootPublicKey: Uint8Array,
): Worker {
  const said: Said[] = [];
  const log = recorder(said);
  const auth = createClient(AuthService, transport);
  const nodes = createClient(NodeService, transport);
  const db = store.database("netmap");
  const heardOf = standings();
  const context = {
    config: settings,
    log,
    clock: systemClock,
    db,
    keys,
    audit: auditLog("cluster_test"),
    auth,
    nodes,
    registry: createClient(RegistryService, transport),
    policy: createClient(PolicyService, transport),
    keysets: keysets(auth, log),
    standings: heardOf,
    mapKeys: delegatedKeys({ service: "netmap", role: KeyRole.MAP, db, keys, auth, clock: systemClock, log }),
  };
  const maps = openMaps(context);
  const presence = openPresence(context);
  const deps = { ...context, maps, presence, locate: locator(nodes), limit: reportLimit(settings, systemClock) };
  const stream = watchStream(deps);
  const stopping = new AbortController();
  const running = Promise.all([maps.run(stopping.signal), presence.run(stopping.signal)]);
  const mirrors: Mirror[] = [];
  return {
    maps,
    deps,
    said,
    standings: heardOf,
    watch: (nodeId, from) => {
      const mirror = new Mirror(nodeId, scope, rootPublicKey, from);
      mirrors.push(mirror);
      mirror.follow((request, signal) => stream.open(request, callerOf(scope.tenantId, nodeId), signal));
      return mirror;
    },
    stop: async () => {
      for (const mirror of mirrors) await mirror.stop();
      stopping.abort();
      await running;
    },
  };
}

/** Fails unless `condition` holds within a minute. */
export async function eventually(what: string, condition: () => boolean): Promise<void> {
  const ends = Date.now() + 60_000;
  while (!condition()) {
    if (Date.now() > ends) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export function payloadOf(bytes: Uint8Array): Uint8Array {
  return fromBinary(SignedSchema, bytes).payload;
}

export function asNodeId(id: string): NodeId {
  if (!isId("node", id)) throw new Error(`${id} is no node id`);
  return id;
}
