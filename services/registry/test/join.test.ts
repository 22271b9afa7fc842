import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import { JoinTokenStatus } from "@cloudvlan/gen/entity/v1/enrollment_pb.js";
import { KeysetSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { NodeKind, NodeStatus } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { EnrollmentService, GroupService, NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { createCsr, newTlsKey } from "@cloudvlan/kit/pki";
import { verifyRecord } from "@cloudvlan/kit/sign";
import { withStores } from "@cloudvlan/kit/testing";
import { joinTranscript } from "@cloudvlan/kit/transcript";
import {
  anonymous,
  audited,
  joinAs,
  joinRequest,
  newMachine,
  newPlace,
  newToken,
  parseJoinString,
  refusalOf,
  type RegistryUnderTest,
  sha256,
  startRegistry,
  streamOf,
  tamper,
  until,
} from "./harness.ts";

describe("joining", () => {
  withStores((stores) => {
    let under: RegistryUnderTest;
    before(async () => {
      under = await startRegistry(stores.store);
    });
    after(() => under[Symbol.dispose]());
    afterEach(() => under.auth.down.clear());

    const join = () => under.as(EnrollmentService, anonymous).join;

    it("turns a token into an active node with a signed record", async () => {
      const place = await newPlace(under);
      const { group } = await under.as(GroupService).createGroup({ ...place, name: "web" });
      assert.ok(group);
      const { joinString, token } = await under.as(EnrollmentService).createJoinToken({
        ...place,
        tags: { tags: { role: "db" } },
        groupIds: [group.id],
      });
      const parsed = parseJoinString(joinString);
      assert.equal(parsed.url, "https://control.example:8443");
      assert.deepEqual(parsed.caSha256, sha256(under.auth.caRoot));
      assert.deepEqual(parsed.rootKeySha256, sha256(under.auth.rootOf(place.tenantId).publicKey));
      assert.equal(token?.status, JoinTokenStatus.UNUSED);

      const machine = newMachine();
      const answer = await joinAs(under, parsed, machine, "alpha");
      const { node } = answer;
      assert.ok(node && answer.keyset);
      assert.deepEqual(
        [node.name, node.kind, node.status, node.tags, node.groupIds, node.addresses[0]],
        ["alpha", NodeKind.AGENT, NodeStatus.ACTIVE, { role: "db" }, [group.id], "100.64.0.1"],
      );
      assert.match(node.addresses[1] ?? "", /^fd[0-9a-f:]+::1$/);
      assert.equal(answer.cvlanName, "main");
      assert.equal(answer.certificate?.spiffeId, node.id);
      assert.ok(verifyRecord(answer.rootPublicKey, "keyset", answer.keyset));
      assert.deepEqual(
        fromBinary(KeysetSchema, answer.keyset.payload).keys[0]?.publicKey,
        under.auth.enrolKey(place.tenantId),
      );

      const record = (await streamOf(under, place)).get(node.id);
      assert.ok(record);
      assert.deepEqual(record.wireguardPublicKey, machine.wireguard.publicKey);
      assert.deepEqual([record.recordRevision, record.name, record.selectors.length], [1n, "alpha", 2]);
      assert.deepEqual(
        record.addresses.map((prefix) => prefix.length),
        [32, 128],
      );
      assert.deepEqual(await audited(under, place.tenantId, node.id), ["JOINING", "ok"]);

      const { tokens } = await under.as(EnrollmentService).listJoinTokens(place);
      assert.deepEqual(
        tokens.map((each) => [each.status, each.nodeId]),
        [[JoinTokenStatus.USED, node.id]],
      );
    });

    it("gives the same key of a request the same join again, and any other nothing", async () => {
      const place = await newPlace(under);
      const token = await newToken(under, place);
      const machine = newMachine();
      const first = await joinAs(under, token, machine, "alpha");
      const again = await joinAs(under, token, machine, "other-name");
      assert.deepEqual(again.node, first.node);
      const refusal = await refusalOf(joinAs(under, token));
      assert.equal(refusal.reason, "TOKEN_REFUSED");
      assert.deepEqual((await audited(under, place.tenantId, token.tokenId)).at(-1), "TOKEN_USED");
      const rekeyed = await refusalOf(joinAs(under, token, { ...newMachine(), tlsKey: machine.tlsKey }));
      assert.equal(rekeyed.reason, "JOIN_KEYS_CHANGED");
      assert.equal((await streamOf(under, place)).size, 1);
    });

    it("resumes a join that ended between its halves", async () => {
      const place = await newPlace(under);
      const token = await newToken(under, place);
      const machine = newMachine();
      under.auth.down.add("mintCertificate");
      assert.equal((await refusalOf(joinAs(under, token, machine))).kind, "unavailable");
      const { nodes } = await under.as(NodeService).listNodes(place);
      assert.deepEqual(
        nodes.map((node) => node.status),
        [NodeStatus.JOINING],
      );
      assert.equal((await streamOf(under, place)).size, 0);
      under.auth.down.clear();
      const { node } = await joinAs(under, token, machine);
      assert.deepEqual([node?.id, node?.status], [nodes[0]?.id, NodeStatus.ACTIVE]);
      assert.equal((await streamOf(under, place)).size, 1);
    });

    it("lets exactly one of 200 parallel users of a token in", async () => {
      const place = await newPlace(under);
      const token = await newToken(under, place);
      const requests = await Promise.all(Array.from({ length: 200 }, () => joinRequest(under, token, newMachine())));
      const results = await Promise.allSettled(requests.map((request) => join()(request)));
      const refused = results.filter((result) => result.status === "rejected");
      assert.equal(refused.length, 199);
      const reasons = await Promise.all(
        refused.map(async (result) => (await refusalOf(Promise.reject(result.reason as Error))).reason),
      );
      assert.deepEqual(new Set(reasons), new Set(["TOKEN_REFUSED"]));
      assert.equal((await under.as(NodeService).listNodes(place)).nodes.length, 1);
    });

    it("lets 20 parallel repetitions by one machine complete one join", async () => {
      const place = await newPlace(under);
      const token = await newToken(under, place);
      const machine = newMachine();
      const answers = await Promise.all(Array.from({ length: 20 }, () => joinAs(under, token, machine)));
      assert.equal(new Set(answers.map((answer) => answer.node?.id)).size, 1);
      assert.equal((await streamOf(under, place)).get(answers[0]?.node?.id ?? "")?.recordRevision, 1n);
    });

    it("refuses every bad token in the same words, and tells them apart in the audit log", async () => {
      const place = await newPlace(under);
      const other = await newPlace(under);
      const [expired, revoked, wrong, foreign, broken] = await Promise.all([
        newToken(under, place, { ttlSeconds: 1 }),
        newToken(under, place),
        newToken(under, place),
        newToken(under, other),
        newToken(under, place),
      ]);
      await under.as(EnrollmentService).revokeJoinToken({ tenantId: place.tenantId, tokenId: revoked.tokenId });
      wrong.secret = new Uint8Array(32);
      foreign.tenantId = place.tenantId;
      await tamper(
        under,
        place.tenantId,
        `update join_token set expires_at = expires_at + interval '1 day' where id = '${broken.tokenId}'`,
      );
      await until(async () => {
        const { tokens } = await under.as(EnrollmentService).listJoinTokens(place);
        return tokens.some((token) => token.id === expired.tokenId && token.status === JoinTokenStatus.EXPIRED);
      });
      const expected = new Map([
        [expired, "TOKEN_EXPIRED"],
        [revoked, "TOKEN_REVOKED"],
        [wrong, "TOKEN_SECRET_MISMATCH"],
        [foreign, "TOKEN_UNKNOWN"],
        [broken, "TOKEN_SEAL_BROKEN"],
      ]);
      const answers = new Set<string>();
      for (const [token, fault] of expected) {
        const { kind, reason, message, detail } = await refusalOf(joinAs(under, token));
        answers.add(JSON.stringify([kind, reason, message, detail]));
        assert.equal((await audited(under, place.tenantId, token.tokenId)).at(-1), fault);
      }
      assert.equal(answers.size, 1);
      assert.equal((await under.as(NodeService).listNodes(place)).nodes.length, 0);
    });

    it("refuses keys and proofs that are not the machine's", async () => {
      const place = await newPlace(under);
      const token = await newToken(under, place);
      const good = await joinRequest(under, token, newMachine());
      const cases: [string, string, Partial<typeof good>][] = [
        ["KEY_LOW_ORDER", "wireguard_public_key", { wireguardPublicKey: new Uint8Array(32) }],
        ["KEY_LOW_ORDER", "control_public_key", { controlPublicKey: Uint8Array.of(1, ...new Uint8Array(31)) }],
        ["KEY_REUSED", "control_public_key", { controlPublicKey: good.wireguardPublicKey }],
        ["PROOF_INVALID", "wireguard_proof", { wireguardProof: good.controlProof }],
        ["PROOF_INVALID", "control_proof", { controlProof: new Uint8Array(32) }],
        ["PROOF_INVALID", "wireguard_proof", { csr: await createCsr(newTlsKey()) }],
        ["CHALLENGE_INVALID", "challenge", { challenge: good.challenge.slice(1) }],
        ["CSR_MALFORMED", "csr", { csr: new Uint8Array(100) }],
      ];
      for (const [reason, field, change] of cases) {
        let request = { ...good, ...change };
        if (reason === "KEY_LOW_ORDER" && field === "control_public_key") request = await reproven(request, token);
        const refusal = await refusalOf(join()(request));
        assert.deepEqual([refusal.kind, refusal.reason, refusal.detail.field], ["invalid", reason, field]);
      }
      assert.equal((await join()(good)).node?.name, "host");
    });

    it("refuses a WireGuard key that a live node of the cvlan has, and keeps the token", async () => {
      const place = await newPlace(under);
      const machine = newMachine();
      await joinAs(under, await newToken(under, place), machine);
      const token = await newToken(under, place);
      const refusal = await refusalOf(joinAs(under, token, { ...newMachine(), wireguard: machine.wireguard }));
      assert.deepEqual([refusal.kind, refusal.detail.field], ["exists", "wireguard_public_key"]);
      assert.equal((await joinAs(under, token)).node?.status, NodeStatus.ACTIVE);
      assert.ok(await joinAs(under, await newToken(under, await newPlace(under)), machine));
    });

    it("makes names unique, also among parallel joins", async () => {
      const place = await newPlace(under);
      const tokens = await Promise.all(Array.from({ length: 12 }, () => newToken(under, place)));
      const answers = await Promise.all(tokens.map((token) => joinAs(under, token, newMachine(), "web")));
      const names = answers.map((answer) => answer.node?.name ?? "");
      assert.equal(new Set(names).size, 12);
      assert.ok(names.includes("web") && names.includes("web-2") && names.every((name) => name.startsWith("web")));
      assert.equal(new Set(answers.map((answer) => answer.node?.addresses[0])).size, 12);
    });

    it("refuses a revoked node's token to the same machine", async () => {
      const place = await newPlace(under);
      const token = await newToken(under, place);
      const machine = newMachine();
      const { node } = await joinAs(under, token, machine);
      await under.as(NodeService).revokeNode({ tenantId: place.tenantId, nodeId: node?.id ?? "" });
      assert.equal((await refusalOf(joinAs(under, token, machine))).reason, "TOKEN_REFUSED");
      assert.equal((await audited(under, place.tenantId, token.tokenId)).at(-1), "TOKEN_NODE_REVOKED");
    });

    it("makes the proof of the contract", async () => {
      const token = await newToken(under, await newPlace(under));
      const { tokenId, csr, wireguardPublicKey, controlPublicKey } = await joinRequest(under, token, newMachine());
      const part = (bytes: Uint8Array) => Buffer.concat([Buffer.from([0, 0, 0, bytes.length]), bytes]);
      const expected = createHash("sha256").update(
        Buffer.concat([Buffer.from(tokenId), sha256(csr), wireguardPublicKey, controlPublicKey].map(part)),
      );
      assert.deepEqual(
        Buffer.from(joinTranscript({ tokenId, csr, wireguardPublicKey, controlPublicKey })),
        expected.digest(),
      );
    });

    /** The proof of the WireGuard key made anew, so that the control key is what is looked at. */
    async function reproven(
      request: Awaited<ReturnType<typeof joinRequest>>,
      token: Parameters<typeof joinRequest>[1],
    ) {
      const machine = newMachine();
      const control = { ...machine.control, publicKey: request.controlPublicKey };
      return joinRequest(under, token, { ...machine, control });
    }
  });
});
