import assert from "node:assert/strict";
import { GroupService, NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { programsOf } from "@cloudvlan/infra/start/programs";
import type { StoreConfig } from "@cloudvlan/kit/db";
import { isId } from "@cloudvlan/kit/ids";
import { type Connection, connectTo } from "@cloudvlan/kit/client";
import { createClient } from "@connectrpc/connect";
import { join as joinAs, type Member } from "../contract/member.ts";
import { type SiteControlPlane, startSiteControlPlane } from "./site/control-plane.ts";
import { siteFolder } from "./site/folder.ts";
import { createSiteTenant, type SiteTenant } from "./site/tenant.ts";
import { until } from "@cloudvlan/infra/site/until";
import { auditOf } from "./storm/audit.ts";
import { type Follower, follow, mapOf, recordsOf } from "./storm/follower.ts";
import { type Ledger, newLedger } from "./storm/ledger.ts";
import { assertTrue, contradictions, truthOf } from "./storm/truth.ts";
import { groupWriter, memberWriter, nodeWriter, policyWriter, tokenWriter, type Writer } from "./storm/writers.ts";

/** Members whose name, team and routes change. */
const RESTLESS = 6;
/** Teams of the members that stay as they are, before those. */
const CALM = ["red", "red", "blue"] as const;
/** Acknowledged writes between two blows. */
const PER_ROUND = 200;
const KILLS = 2;
const SERVICES = ["auth", "registry", "policy", "netmap"] as const;
const NO_LIMITS = { requests_per_second: 100_000, connections_per_address: 10_000, streams_per_connection: 1_000 };

interface World {
  readonly control: SiteControlPlane;
  readonly tenant: SiteTenant;
  readonly members: readonly Member[];
  readonly followers: readonly Follower[];
  readonly groupId: string;
  /** A connection of the platform's owner that closes with the world. */
  connect(): Promise<Connection>;
}

async function startWorld(kind: StoreConfig["kind"], cleanup: AsyncDisposableStack): Promise<World> {
  const { path: folder } = cleanup.use(await siteFolder("cv-storm-"));
  const options = {
    store: kind,
    workers: 1,
    services: { netmap: { head_seconds: 1 } },
    settings: { limits: NO_LIMITS },
  };
  const programs = programsOf(process.env, process.execPath);
  const control = cleanup.use(await startSiteControlPlane(folder, "127.0.0.1", options, programs));
  const connect = async (): Promise<Connection> => {
    const connection = await control.connect();
    cleanup.defer(() => connection.close());
    return connection;
  };
  const api = await connect();
  const tenant = await createSiteTenant(api, "storm");
  const { tenantId, cvlanId } = tenant;
  const { group } = await createClient(GroupService, api).createGroup({ tenantId, cvlanId, name: "everybody" });
  const members: Member[] = [];
  for (let index = 0; index < CALM.length + RESTLESS; index++) {
    members.push(await joinAs(await tenant.newJoinString(), `m${index}`));
  }
  for (const [index, team] of CALM.entries()) {
    const nodeId = members[index]?.nodeId ?? "";
    await createClient(NodeService, api).updateNode({ tenantId, nodeId, tags: { tags: { team } } });
  }
  const followers = members.map((member) => follow(control.url, control.roots, member));
  for (const follower of followers) cleanup.defer(() => follower.stop());
  return { control, tenant, members, followers, groupId: group?.id ?? "", connect };
}

function writersOf({ tenant, members, groupId }: World, ledger: Ledger): Writer[] {
  const restless = members.slice(CALM.length).map(({ nodeId }) => nodeId);
  return [
    policyWriter(ledger, tenant),
    ...restless.map((nodeId, index) => nodeWriter(ledger, tenant, nodeId, index)),
    ...restless.slice(0, 4).map((nodeId) => memberWriter(ledger, tenant, groupId, nodeId)),
    ...Array.from({ length: 5 }, (_, index) => groupWriter(ledger, tenant, index)),
    ...Array.from({ length: 4 }, () => tokenWriter(ledger, tenant)),
  ];
}

/** Kills the control plane in the middle of the writes, again and again; its writers know nothing of it. */
async function blow({ control }: World, ledger: Ledger): Promise<void> {
  for (let round = 0; round <= KILLS; round++) {
    const enough = ledger.acknowledged + PER_ROUND;
    await until(`${PER_ROUND} writes of round ${round}`, () => ledger.acknowledged >= enough);
    if (round === KILLS) return;
    await control.workers[0]?.end("SIGKILL");
    await control.startWorker(0);
  }
}

for (const kind of ["pglite", "postgres"] as const) {
  describe(`kill -9 in a storm of writes, on ${kind}`, function () {
    this.timeout(300_000);
    const cleanup = new AsyncDisposableStack();
    const ledger = newLedger();
    let world: World;
    before(async () => {
      world = await startWorld(kind, cleanup);
    });
    after(() => cleanup.disposeAsync());

    it("loses no acknowledged write", async () => {
      const stop = new AbortController();
      const storm = writersOf(world, ledger).map(async (writer) => {
        const api = await world.connect();
        for (let n = 0; !stop.signal.aborted; n++) await writer(api, n);
      });
      try {
        await Promise.race([blow(world, ledger), Promise.all(storm)]);
      } finally {
        stop.abort();
      }
      await Promise.all(storm);
      assert.ok(ledger.uncertain > 0, "the blows fell while somebody wrote");
      assert.deepEqual(contradictions(await truthOf(await world.connect(), world.tenant), ledger), []);
    });

    it("tells each node every revision once and in order", async () => {
      const { control, followers, members } = world;
      const truth = await truthOf(await world.connect(), world.tenant);
      for (const [index, follower] of followers.entries()) {
        const member = members[index];
        assert.ok(member);
        const { credential, nodeId } = member;
        const connection = connectTo(control.url, { roots: control.roots, ...credential });
        cleanup.defer(() => connection.close());
        await until(`${member.name} knows everything`, async () => {
          if (follower.fault !== undefined) throw follower.fault;
          const { revision } = await mapOf(connection);
          if (follower.revision < revision) return false;
          try {
            assertTrue(follower, nodeId, truth);
            return true;
          } catch {
            return false;
          }
        });
        assert.deepEqual(recordsOf(follower), recordsOf(await mapOf(connection)));
        assert.ok(follower.streams > KILLS, "its streams broke with the server");
        // Its own record and its rules stayed: all that it missed can be told.
        if (CALM[index] === "red") assert.equal(follower.fullMaps, 1, "it resumed from where it stood");
      }
      assert.ok(followers.every(({ changes }) => changes > 0));
    });

    it("leaves no gap in the audit logs and no write without its row", async () => {
      const { control, tenant } = world;
      assert.ok(isId("tenant", tenant.tenantId));
      await control.workers[0]?.end("SIGTERM");
      const audits = await auditOf(control.store, tenant.tenantId, SERVICES);
      const done = new Map<string, number>();
      for (const [service, audit] of audits) {
        const counted = Array.from({ length: audit.sequences.length }, (_, index) => index + 1);
        assert.deepEqual(audit.sequences, counted, service);
        for (const [method, count] of audit.done) done.set(method, (done.get(method) ?? 0) + count);
      }
      for (const [method, acknowledged] of ledger.byMethod) {
        assert.ok(
          (done.get(method) ?? 0) >= acknowledged,
          `${method}: ${done.get(method)} rows for ${acknowledged} writes`,
        );
      }
    });
  });
}
