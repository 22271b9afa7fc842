import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AuthService, CallContextSchema, CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import type { Change } from "@cloudvlan/gen/entity/v1/events_pb.js";
import { NetmapService, type WatchRequest } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import type { Permission } from "@cloudvlan/gen/options/v1/options_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { CvlanService, RegionService, RegistryService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import { type Caller, callerOf } from "../../caller/index.ts";
import { Refusal } from "../../errors/index.ts";
import type { FrameStream } from "../../server/index.ts";
import { defineService } from "../../service/index.ts";
import { newSigningSeed, signingKeyFromSeed, signRecord } from "../../sign/index.ts";
import { noMigrations } from "../db/fixture.ts";

const config = z.strictObject({ greeting: z.string().default("") });

export interface Person {
  readonly subject: string;
  readonly tenantId: string;
  readonly permissions: readonly Permission[];
}

/** An auth that keeps in memory what the test told it. */
export function testAuth() {
  const people = new Map<string, Person>();
  const changes: Change[] = [];
  const state = { silent: false, asked: 0, key: signingKeyFromSeed("key-1", newSigningSeed()) };

  const definition = defineService({
    name: "auth",
    config,
    provides: [AuthService, CertificateService],
    uses: [],
    migrations: noMigrations,
    build: async (context) => ({
      routes(router) {
        router.service(CertificateService, {
          getTrustBundle: async () => ({ bundle: { roots: [...(await context.ca.roots())] } }),
          renewCertificate: (_request, ctx) => ({ certificate: { spiffeId: callerOf(ctx).workload.kind } }),
          mintCertificate: () => ({}),
        });
        router.service(AuthService, {
          getContextKeys: () => ({ keys: [{ keyId: state.key.keyId, publicKey: state.key.publicKey }] }),
          authenticate: ({ apiKey, requestId }) => {
            state.asked += 1;
            const person = people.get(apiKey);
            if (!person) throw new Refusal("unauthenticated", "CREDENTIAL_REFUSED", "no");
            const now = Date.now();
            const payload = create(CallContextSchema, {
              ...person,
              permissions: [...person.permissions],
              requestId,
              issuedAt: timestampFromMs(now),
              expiresAt: timestampFromMs(now + 60_000),
            });
            return { context: signRecord(state.key, "call-context", toBinary(CallContextSchema, payload)) };
          },
          async *watchChanges({ since }, { signal }) {
            let sent = Number(since);
            while (!signal.aborted) {
              if (!state.silent) {
                yield { changes: changes.slice(sent), revision: BigInt(changes.length) };
                sent = changes.length;
              }
              await sleep(50, undefined, { signal });
            }
          },
        });
      },
    }),
  });

  return {
    definition,
    people,
    state,
    deny(subject: string, issuedBeforeSeconds: number): void {
      changes.push({
        revision: BigInt(changes.length + 1),
        objectId: subject,
        change: {
          case: "denial",
          value: { subject, issuedBefore: timestampFromMs(issuedBeforeSeconds * 1000) },
        },
      } as Change);
    },
  };
}

/** The cvlan whose targets are never resolved. */
export const HANGING_CVLAN = "cvlan_00000000-0000-7000-8000-00000000dead";

/** A registry whose answers depend on the names it is given. */
export function testRegistry() {
  const seen: { caller?: Caller; aborted: number; regions: string[] } = { aborted: 0, regions: [] };
  const definition = defineService({
    name: "registry",
    config,
    provides: [RegionService, RegistryService, CvlanService],
    uses: [AuthService, CertificateService],
    migrations: noMigrations,
    build: async ({ client, db }) => ({
      routes(router) {
        router.service(CvlanService, { getCvlan: ({ cvlanId }) => ({ cvlan: { id: cvlanId } }) });
        router.service(RegistryService, {
          resolveTargets: async ({ cvlanId }, ctx) => {
            seen.caller = callerOf(ctx);
            if (cvlanId === HANGING_CVLAN) {
              await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
              seen.aborted += 1;
            }
            return {};
          },
        });
        router.service(RegionService, {
          listRegions: (_request, ctx) => {
            seen.caller = callerOf(ctx);
            return { regions: seen.regions.map((name) => ({ name })) };
          },
          createRegion: async ({ name, displayName }, { signal }) => {
            if (name === "boom") throw new Error("the password is swordfish");
            if (name === "refused") throw new Refusal("conflict", "REGION_REFUSED", "not this one", { field: "name" });
            if (name === "slow") {
              await new Promise((_, reject) =>
                signal.addEventListener("abort", () => {
                  seen.aborted += 1;
                  reject(new Error("stopped"));
                }),
              );
            }
            if (name === "deaf") await new Promise(() => {});
            if (name === "inside") await db.platform(() => client(AuthService).getContextKeys({}));
            seen.regions.push(name);
            return { region: { name, displayName } };
          },
          deleteRegion: async () => {
            await client(CertificateService).mintCertificate({
              tenantId: "tenant_00000000-0000-7000-8000-000000000001",
              nodeId: "node_00000000-0000-7000-8000-000000000001",
              csr: new Uint8Array(64),
            });
            return {};
          },
        });
      },
    }),
  });
  return { definition, seen };
}

/** A policy that asks registry for each of its answers. */
export function testPolicy() {
  return defineService({
    name: "policy",
    config,
    provides: [PolicyService],
    uses: [AuthService, RegistryService],
    migrations: noMigrations,
    build: async ({ client }) => ({
      routes: (router) =>
        void router.service(PolicyService, {
          getPolicy: async ({ tenantId, cvlanId }) => {
            await client(RegistryService).resolveTargets({ tenantId, cvlanId });
            return {};
          },
          applyPolicy: async ({ tenantId }) => {
            const other = tenantId.replace(/.$/, (digit) => (digit === "0" ? "1" : "0"));
            await client(RegistryService).resolveTargets({
              tenantId: other,
              cvlanId: "cvlan_00000000-0000-7000-8000-000000000001",
            });
            return {};
          },
        }),
    }),
  });
}

/** A netmap whose frames come from the test. */
export function testNetmap(frames: (request: WatchRequest, signal: AbortSignal) => AsyncIterable<Uint8Array>) {
  const state = { opened: 0, ended: 0 };
  const stream: FrameStream<typeof NetmapService.method.watch.input, typeof NetmapService.method.watch.output> = {
    method: NetmapService.method.watch,
    async *open(request, _caller, signal) {
      state.opened += 1;
      signal.addEventListener("abort", () => (state.ended += 1), { once: true });
      yield* frames(request, signal);
    },
  };
  const definition = defineService({
    name: "netmap",
    config,
    provides: [NetmapService],
    uses: [AuthService, RegistryService],
    migrations: noMigrations,
    build: async () => ({
      routes: (router) => void router.service(NetmapService, { reportEndpoints: () => ({}), poll: () => ({}) }),
      frames: [stream],
    }),
  });
  return { definition, state };
}
