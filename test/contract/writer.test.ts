import assert from "node:assert/strict";
import type { KeyRole } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { PolicyAction } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import { NetmapService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { PolicyService } from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { GroupService, NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { idBytes } from "@cloudvlan/kit/ids";
import { createClient } from "@connectrpc/connect";
import { ATTACKS, type Victim } from "./attacks.ts";
import { keyIdOf } from "./forgery.ts";
import { type Installation, newInstallation } from "./installation.ts";
import { until } from "./until.ts";
import { view, type Viewer } from "./viewer.ts";
import { allow, newSide, typed } from "./world.ts";

describe("somebody who can write every table and has no key", function () {
  this.timeout(120_000);
  let installation: Installation;
  const victims = new Map<string, Victim>();

  async function newVictim(prefix: string): Promise<Victim> {
    const side = await newSide(installation, prefix);
    const group = await side.newGroup();
    const inGroup = async () => side.newMember(undefined, { groupIds: [group.id] });
    const [watcher, peer, outsider] = [await inGroup(), await inGroup(), await side.newMember()];
    const web = { case: "group", value: group.name } as const;
    const hidden = { case: "node", value: outsider.name } as const;
    const deny = { ...allow("deny-outsider", web, hidden), action: PolicyAction.DENY };
    const rules = [allow("web", web, web), deny];
    await side.apply(...rules);
    const viewer = view(installation.holder(watcher.credential), watcher);
    await until("the peer on the map", () => viewer.nodes.has(peer.nodeId) && viewer.rules.size === 2);
    const { tenantId, cvlanId } = side;
    const keyId = (role: KeyRole) => keyIdOf(viewer.keyset, role);
    const selector = idBytes(typed("group", group.id));
    return { side, scope: { tenantId, cvlanId }, group, selector, watcher, peer, outsider, viewer, rules, keyId };
  }

  async function run(statements: readonly string[]): Promise<void> {
    for (const statement of statements) await installation.asSuperuser(statement);
  }

  /** What an operator may happen to do next, so that every service reads its rows. Refusals are in order. */
  async function carryOn(on: Installation, { side, group, outsider, peer, watcher }: Victim): Promise<void> {
    const owner = on.person(on.ownerKey);
    const { tenantId, cvlanId } = side;
    const nodes = createClient(NodeService, owner);
    const policies = createClient(PolicyService, owner);
    const calls = [
      ...[outsider, peer].map(
        ({ nodeId }) =>
          () =>
            nodes.updateNode({ tenantId, nodeId, tags: { tags: { seen: "yes" } } }),
      ),
      () => createClient(GroupService, owner).addGroupMember({ tenantId, groupId: group.id, nodeId: peer.nodeId }),
      () => policies.getPolicy({ tenantId, cvlanId }),
      () =>
        createClient(NetmapService, on.holder(watcher.credential)).reportEndpoints({
          endpoints: [{ address: "192.0.2.9", port: 51820 }],
        }),
    ];
    for (const call of calls) await call().catch(() => undefined);
  }

  /** Nothing that the tenant did not sign, no peer that policy does not give, no rule that nobody wrote. */
  function assertHonest(viewer: Viewer, { watcher, peer }: Victim): void {
    assert.equal(viewer.distrust, undefined, String(viewer.distrust?.cause));
    const known = new Map([watcher, peer].map((member) => [member.nodeId as string, member]));
    for (const [nodeId, record] of viewer.nodes) {
      const member = known.get(nodeId);
      assert.ok(member, `${record.name} is on the map`);
      assert.deepEqual(record.wireguardPublicKey, member.keys.wireguard.publicKey);
      assert.deepEqual(record.routes, []);
    }
    const rules = [...viewer.rules.keys()].toSorted();
    assert.ok(rules.length === 0 || rules.join() === "deny-outsider,web", `the rules are ${rules.join()}`);
  }

  before(async () => {
    installation = await newInstallation({ kind: "postgres" });
  });
  after(async () => {
    for (const { viewer } of victims.values()) await viewer.stop();
    await installation.close();
  });

  describe("changes nothing that a node believes:", () => {
    for (const attack of ATTACKS) {
      it(attack.name, async () => {
        const victim = await newVictim(`v${victims.size}`);
        victims.set(attack.name, victim);
        await run(attack.strike(victim));
        await carryOn(installation, victim);
        const { viewer } = victim;
        const seen = viewer.heads;
        await until("two more heads, or the end", () => viewer.heads > seen + 1 || viewer.ended !== undefined);
        assertHonest(viewer, victim);
      });
    }
  });

  describe("neither with a worker that starts afterwards:", () => {
    let worker: Installation;
    before(async () => {
      worker = await newInstallation({ kind: "postgres", beside: installation });
    });
    after(() => worker.close());

    it("which serves whom nobody attacked", async () => {
      const victim = await newVictim("nobody");
      victims.set("nobody", victim);
      const viewer = view(worker.holder(victim.watcher.credential), victim.watcher);
      await until("the map", () => viewer.nodes.size === 2 && viewer.rules.size === 2);
      await viewer.stop();
    });
    for (const { name } of ATTACKS) {
      it(name, async () => {
        const victim = victims.get(name);
        assert.ok(victim);
        await carryOn(worker, victim);
        const viewer = view(worker.holder(victim.watcher.credential), victim.watcher);
        await until(
          "two heads, or a refusal",
          () => viewer.heads > 1 || (viewer.ended ?? viewer.distrust) !== undefined,
        );
        assertHonest(viewer, victim);
        const { rules } = victim;
        await createClient(PolicyService, worker.person(worker.ownerKey))
          .applyPolicy({ ...victim.scope, document: { rules: [...rules] } })
          .catch(() => undefined);
        await carryOn(worker, victim);
        const seen = viewer.heads;
        await until(
          "another head, or a refusal",
          () => viewer.heads > seen || (viewer.ended ?? viewer.distrust) !== undefined,
        );
        assertHonest(viewer, victim);
        await viewer.stop();
      });
    }
    it("and it was said in the log", () => {
      const errors = [...installation.lines, ...worker.lines].filter(({ level }) => level === "error");
      for (const words of [/seal/, /does not verify/, /not those of a signed manifest/]) {
        assert.ok(
          errors.some(({ message }) => words.test(message)),
          `nobody logged ${words}`,
        );
      }
    });
  });
});
