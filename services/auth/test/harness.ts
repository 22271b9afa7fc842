import assert from "node:assert/strict";
import { join } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import { TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { ErrorDetailSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";
import type { Tenant } from "@cloudvlan/gen/entity/v1/tenant_pb.js";
import { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { auditLog } from "@cloudvlan/kit/audit";
import { type Caller, callerKey, type ServiceName } from "@cloudvlan/kit/caller";
import { changeStreams } from "@cloudvlan/kit/changes";
import { type Clock, systemClock } from "@cloudvlan/kit/clock";
import type { Store } from "@cloudvlan/kit/db";
import { Refusal } from "@cloudvlan/kit/errors";
import { isId, type NodeId, type TenantId } from "@cloudvlan/kit/ids";
import { fileKeyProvider } from "@cloudvlan/kit/keys";
import { standings } from "@cloudvlan/kit/server";
import { errorLog, testCa, type TestCa } from "@cloudvlan/kit/testing";
import { type Client, ConnectError, createClient, createRouterTransport, type Interceptor } from "@connectrpc/connect";
import { config } from "../config.ts";
import { auth } from "../service.ts";
import type { AuthContext } from "../trusted.ts";

export const clusterId = "cluster_0189abcd-0000-7000-8000-00000000000c";
export const ALL = Object.values(Permission).filter((value) => typeof value === "number");

/** A real step-ca of the cluster. */
export function startTestCa(): Promise<TestCa> {
  return testCa(clusterId);
}

/** A clock that a test can move; it starts at the real time, since step-ca has that. */
export interface TestClock extends Clock {
  forward(ms: number): void;
}

export function testClock(): TestClock {
  let offset = 0;
  return {
    nowMs: () => systemClock.nowMs() + offset,
    monotonicMs: () => systemClock.monotonicMs() + offset,
    bootMs: () => systemClock.bootMs() + offset,
    forward(ms) {
      offset += ms;
    },
  };
}

export interface AuthUnderTest {
  readonly ctx: AuthContext;
  readonly clock: TestClock;
  /** Messages logged as errors. */
  readonly errors: string[];
  as<S extends DescService>(service: S, caller: Caller): Client<S>;
}

export interface AuthOptions {
  readonly store: Store;
  readonly ca: TestCa;
  /** Name of the master key's file: workers that share it are one installation. */
  readonly masterKey?: string;
  readonly config?: object;
}

/** auth as the composer builds it, with the caller chosen by the test in the place of the authn interceptor. */
export async function startAuth({
  store,
  ca,
  masterKey = "master.key",
  config: given = {},
}: AuthOptions): Promise<AuthUnderTest> {
  const clock = testClock();
  const errors: string[] = [];
  const log = errorLog(errors);
  await store.migrate("auth", auth.migrations);
  const db = store.database("auth");
  const ctx: AuthContext = {
    clusterId,
    data: ca.folder,
    url: "https://127.0.0.1:1",
    config: config.parse(given),
    log,
    clock,
    db,
    changes: changeStreams({ db, service: "auth", heartbeatMs: 200 }),
    audit: auditLog(clusterId),
    keys: await fileKeyProvider(join(ca.folder, masterKey)),
    ca: ca.authority,
    client() {
      throw new Error("auth calls no service");
    },
    live: { size: 0, add: () => ({ [Symbol.dispose]() {} }), cut: () => 0 },
    denyHere() {},
    isDeniedHere: () => false,
    deniedBefore: [],
    standings: standings(),
  };
  const built = await auth.build(ctx);
  return {
    ctx,
    clock,
    errors,
    as: (service, caller) =>
      createClient(
        service,
        createRouterTransport((router) => built.routes(router), { router: { interceptors: [callingAs(caller)] } }),
      ),
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

const common = { requestId: "request-1", address: "192.0.2.1" } as const;

export function service(name: ServiceName): Caller {
  return { ...common, workload: { kind: "service", name }, authority: undefined };
}

export function person(tenantId: TenantId | undefined, permissions: readonly Permission[] = ALL): Caller {
  const authority = { subject: "apikey:apikey_test", tenantId, permissions: new Set(permissions) };
  return { ...common, workload: { kind: "none" }, authority };
}

export function node(tenantId: TenantId, nodeId: NodeId, expired = false): Caller {
  return { ...common, workload: { kind: "node", tenantId, nodeId, issuedAt: 0, expired }, authority: undefined };
}

let names = 0;

/** A tenant that no other test has. */
export async function newTenant(auth: AuthUnderTest): Promise<Tenant & { readonly id: TenantId }> {
  const { tenant } = await auth.as(TenantService, person(undefined)).createTenant({ name: `tenant-${++names}` });
  assert.ok(tenant && isId("tenant", tenant.id));
  return { ...tenant, id: tenant.id };
}

/** The refusal of a call as its caller sees it. */
export interface SeenRefusal {
  readonly code: number;
  readonly message: string;
  readonly reason: string;
  readonly field: string;
  readonly remedy: string;
}

export async function refusalOf(call: Promise<unknown>): Promise<SeenRefusal> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    const [detail] = error.findDetails(ErrorDetailSchema);
    if (!detail) throw error;
    const { reason, field, remedy } = detail;
    return { code: error.code, message: error.rawMessage, reason, field, remedy };
  }
  throw new Error("the call was not refused");
}
