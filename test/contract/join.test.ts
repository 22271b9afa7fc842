import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { EnrollmentService, type JoinRequest, NodeService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { NodeStatus } from "@cloudvlan/gen/entity/v1/node_pb.js";
import { JoinTokenStatus } from "@cloudvlan/gen/entity/v1/enrollment_pb.js";
import { newId } from "@cloudvlan/kit/ids";
import { type Client, createClient } from "@connectrpc/connect";
import { auditRows } from "./audit-rows.ts";
import { type Installation, newInstallation } from "./installation.ts";
import { formatJoinString, joinRequest, memberOf, newKeyPair, newMachineKeys, parseJoinString } from "./member.ts";
import { type Refused, refusalOf, refusedOf } from "./outcome.ts";
import { ED25519, type OddRequest, oddRequest, P256_SHA1, P384, RSA_1024, RSA_4096 } from "./requests.ts";
import { until } from "./until.ts";
import { newName, newSide, type Side } from "./world.ts";

const PARALLEL = 200;

/** Public keys of small order on Curve25519 (RFC 7748 section 6.1): every shared secret with them is zero. */
const LOW_ORDER = [
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

for (const kind of ["pglite", "postgres"] as const) {
  describe(`joining, on ${kind}`, function () {
    this.timeout(120_000);
    let installation: Installation;
    let side: Side;
    let other: Side;
    let enrolment: Client<typeof EnrollmentService>;

    before(async () => {
      installation = await newInstallation({
        kind,
        config: { services: { registry: { address_quarantine_seconds: 0 } } },
      });
      [side, other] = [await newSide(installation, "alice"), await newSide(installation, "bob")];
      enrolment = createClient(EnrollmentService, installation.anonymous());
    });
    after(() => installation.close());

    const requestFor = async (token: string, keys?: Awaited<ReturnType<typeof newMachineKeys>>) =>
      joinRequest(installation.anonymous(), token, keys ?? (await newMachineKeys()), newName("node"));
    const nodes = () => createClient(NodeService, installation.person(side.admin));
    const countNodes = async () => (await nodes().listNodes({ tenantId: side.tenantId })).nodes.length;

    describe("a token that is not good", () => {
      const refusals = new Map<string, Refused>();
      const outcomes = new Map<string, string>();

      async function attempt(what: string, request: JoinRequest): Promise<void> {
        const owner = request.tenantId === other.tenantId ? other : side;
        const before = (await auditRows(installation, "registry", owner.tenantId)).length;
        refusals.set(what, await refusalOf(enrolment.join(request)));
        const rows = (await auditRows(installation, "registry", owner.tenantId)).slice(before);
        assert.equal(rows.length, 1, `${what}: one row`);
        outcomes.set(what, rows[0]?.outcome ?? "");
      }

      it("was used by another key", async () => {
        const token = await side.newToken();
        await enrolment.join(await requestFor(token));
        await attempt("used", await requestFor(token));
      });
      it("is past its time", async () => {
        const token = await side.newToken({ ttlSeconds: 1 });
        const { tenantId, tokenId } = parseJoinString(token);
        await until("the token to run out", async () => {
          const owner = createClient(EnrollmentService, installation.person(side.admin));
          const { tokens } = await owner.listJoinTokens({ tenantId, cvlanId: side.cvlanId });
          return tokens.find(({ id }) => id === tokenId)?.status === JoinTokenStatus.EXPIRED;
        });
        await attempt("expired", await requestFor(token));
      });
      it("was revoked", async () => {
        const token = await side.newToken();
        const { tenantId, tokenId } = parseJoinString(token);
        const owner = createClient(EnrollmentService, installation.person(side.admin));
        await owner.revokeJoinToken({ tenantId, tokenId });
        await attempt("revoked", await requestFor(token));
      });
      it("is of another tenant", async () => {
        const request = await requestFor(await side.newToken());
        await attempt("foreign", { ...request, tenantId: other.tenantId });
      });
      it("never was", async () => {
        const keys = await newMachineKeys();
        const token = parseJoinString(await side.newToken());
        const text = formatJoinString({ ...token, tokenId: newId("jointoken", Date.now()) });
        await attempt("absent", await requestFor(text, keys));
      });
      it("comes with another secret", async () => {
        const request = await requestFor(await side.newToken());
        await attempt("secret", { ...request, secret: new Uint8Array(randomBytes(32)) });
      });

      it("is refused in one and the same way, and told apart in the audit log", () => {
        const [first, ...others] = [...refusals.values()];
        assert.equal(refusals.size, 6);
        assert.deepEqual([first?.code, first?.reason], ["Unauthenticated", "TOKEN_REFUSED"]);
        for (const refused of others) assert.deepEqual(refused, first);
        assert.deepEqual(Object.fromEntries(outcomes), {
          used: "TOKEN_USED",
          expired: "TOKEN_EXPIRED",
          revoked: "TOKEN_REVOKED",
          foreign: "TOKEN_UNKNOWN",
          absent: "TOKEN_UNKNOWN",
          secret: "TOKEN_SECRET_MISMATCH",
        });
      });
    });

    it("lets exactly one of 200 users of a token in", async () => {
      const token = await side.newToken();
      const before = await countNodes();
      const requests = await Promise.all(Array.from({ length: PARALLEL }, () => requestFor(token)));
      const outcomes = await Promise.all(
        requests.map((request) =>
          enrolment.join(request, { timeoutMs: 60_000 }).then(
            () => "joined",
            (error: unknown) => refusedOf(error).reason,
          ),
        ),
      );
      assert.equal(outcomes.filter((outcome) => outcome === "joined").length, 1);
      assert.deepEqual([...new Set(outcomes)].toSorted(), ["TOKEN_REFUSED", "joined"]);
      assert.equal(await countNodes(), before + 1);
    });

    it("completes the same join again for the same token and request key, also 20 at once", async () => {
      const token = await side.newToken();
      const keys = await newMachineKeys();
      const before = await countNodes();
      const answers = await Promise.all(
        Array.from({ length: 20 }, async () =>
          memberOf(token, keys, await enrolment.join(await requestFor(token, keys))),
        ),
      );
      const again = memberOf(token, keys, await enrolment.join(await requestFor(token, keys)));
      for (const { nodeId, name, addresses } of answers) {
        assert.deepEqual([nodeId, name, addresses], [again.nodeId, again.name, again.addresses]);
      }
      assert.equal(await countNodes(), before + 1);
      const { node } = await nodes().getNode({ tenantId: side.tenantId, nodeId: again.nodeId });
      assert.equal(node?.status, NodeStatus.ACTIVE);
    });

    it("does not let a revoked node's token in again", async () => {
      const token = await side.newToken();
      const keys = await newMachineKeys();
      const member = memberOf(token, keys, await enrolment.join(await requestFor(token, keys)));
      await side.revoke(member);
      const told = await refusalOf(enrolment.join(await requestFor(token, keys)));
      assert.deepEqual([told.code, told.reason], ["Unauthenticated", "TOKEN_REFUSED"]);
    });

    describe("refuses a certificate request, and leaves the token good,", () => {
      const cases: readonly (readonly [string, OddRequest, string])[] = [
        ["that names another node", { uris: ["spiffe://x/tenant/y/node/z"] }, "CSR_NAME"],
        ["that names a host", { dnsNames: ["controller.example"] }, "CSR_NAME"],
        ["that names a subject", { subject: "CN=registry" }, "CSR_SUBJECT"],
        ["of RSA with 1024 bits", { algorithm: RSA_1024 }, "CSR_KEY"],
        ["of RSA with 4096 bits", { algorithm: RSA_4096 }, "CSR_KEY"],
        ["of P-384", { algorithm: P384 }, "CSR_KEY"],
        ["of Ed25519", { algorithm: ED25519 }, "CSR_KEY"],
        ["signed with SHA-1", { algorithm: P256_SHA1 }, "CSR_ALGORITHM"],
      ];
      for (const [what, shape, reason] of cases) {
        it(what, async () => {
          const token = await side.newToken();
          const keys = await newMachineKeys();
          const odd = { ...keys, csr: await oddRequest(shape) };
          const told = await refusalOf(enrolment.join(await requestFor(token, odd)));
          assert.deepEqual([told.code, told.reason, told.field], ["InvalidArgument", reason, "csr"]);
          assert.notEqual(told.remedy, "");
          await enrolment.join(await requestFor(token, keys));
        });
      }
      it("whose signature is another key's", async () => {
        const token = await side.newToken();
        const keys = await newMachineKeys();
        const csr = Uint8Array.from(keys.csr);
        const last = csr.length - 1;
        csr[last] = (csr[last] ?? 0) ^ 1;
        const told = await refusalOf(enrolment.join(await requestFor(token, { ...keys, csr })));
        assert.deepEqual([told.code, told.reason, told.field], ["InvalidArgument", "CSR_SIGNATURE", "csr"]);
        await enrolment.join(await requestFor(token, keys));
      });
      it("that is no certificate request", async () => {
        const keys = await newMachineKeys();
        const request = await requestFor(await side.newToken(), { ...keys, csr: new Uint8Array(randomBytes(300)) });
        const told = await refusalOf(enrolment.join(request));
        assert.deepEqual([told.code, told.reason, told.field], ["InvalidArgument", "CSR_MALFORMED", "csr"]);
      });
      it("also when a node renews, for a name that is not its own", async () => {
        const [member, neighbour] = [await side.newMember(), await side.newMember()];
        const certificates = createClient(CertificateService, installation.holder(member.credential));
        const foreign = `spiffe://${installation.clusterId}/tenant/${side.tenantId}/node/${neighbour.nodeId}`;
        const csr = await oddRequest({ uris: [foreign] });
        const told = await refusalOf(certificates.renewCertificate({ csr }));
        assert.deepEqual([told.code, told.reason, told.field], ["InvalidArgument", "CSR_NAME", "csr"]);
        const own = await certificates.renewCertificate({ csr: (await newMachineKeys()).csr });
        assert.ok(own.certificate?.spiffeId.endsWith(`/node/${member.nodeId}`));
      });
    });

    describe("refuses a WireGuard key, and leaves the token good,", () => {
      for (const hex of LOW_ORDER) {
        it(`of low order: ${hex.slice(0, 8)}…${hex.slice(-4)}`, async () => {
          const token = await side.newToken();
          const request = await requestFor(token);
          const wireguardPublicKey = Uint8Array.from(Buffer.from(hex, "hex"));
          const told = await refusalOf(enrolment.join({ ...request, wireguardPublicKey }));
          assert.deepEqual(
            [told.code, told.reason, told.field],
            ["InvalidArgument", "KEY_LOW_ORDER", "wireguard_public_key"],
          );
          await enrolment.join(await requestFor(token));
        });
      }
      it("that another node of the cvlan has", async () => {
        const member = await side.newMember();
        const token = await side.newToken();
        const keys = await newMachineKeys();
        const told = await refusalOf(
          enrolment.join(await requestFor(token, { ...keys, wireguard: member.keys.wireguard })),
        );
        assert.deepEqual([told.code, told.field], ["AlreadyExists", "wireguard_public_key"]);
        assert.ok(!JSON.stringify(told).includes(member.name));
        await enrolment.join(await requestFor(token, keys));
      });
      it("that is the control key", async () => {
        const keys = await newMachineKeys();
        const told = await refusalOf(
          enrolment.join(await requestFor(await side.newToken(), { ...keys, control: keys.wireguard })),
        );
        assert.deepEqual([told.code, told.field], ["InvalidArgument", "control_public_key"]);
      });
      it("that the joining machine does not have", async () => {
        const member = await side.newMember();
        const request = await requestFor(await side.newToken());
        for (const key of ["wireguard", "control"] as const) {
          const stolen = { ...request, [`${key}PublicKey`]: member.keys[key].publicKey };
          const told = await refusalOf(enrolment.join(stolen));
          assert.deepEqual([told.code, told.reason], ["InvalidArgument", "PROOF_INVALID"]);
        }
      });
      it("with a challenge that this control plane did not make", async () => {
        const request = await requestFor(await side.newToken());
        const told = await refusalOf(enrolment.join({ ...request, challenge: new Uint8Array(randomBytes(69)) }));
        assert.deepEqual([told.code, told.reason, told.field], ["InvalidArgument", "CHALLENGE_INVALID", "challenge"]);
      });
    });

    it("lets two tenants have the same WireGuard key, name and addresses without seeing each other", async () => {
      const wireguard = newKeyPair();
      const [mine, theirs] = [await side.newCvlan("10.7.0.0/24"), await other.newCvlan("10.7.0.0/24")];
      const join = async (token: string) => {
        const keys = { ...(await newMachineKeys()), wireguard };
        const request = await joinRequest(installation.anonymous(), token, keys, "twin");
        return memberOf(token, keys, await enrolment.join(request));
      };
      const a = await join(await side.newToken({ cvlanId: mine }));
      const b = await join(await other.newToken({ cvlanId: theirs }));
      assert.deepEqual([a.name, a.addresses[0]], [b.name, b.addresses[0]]);
      assert.notEqual(a.addresses[1], b.addresses[1]);
    });

    it("ends with a clear refusal when the pool is exhausted, and with a join once an address is free", async () => {
      const cvlanId = await side.newCvlan("10.9.0.0/30");
      const tokens = [
        await side.newToken({ cvlanId }),
        await side.newToken({ cvlanId }),
        await side.newToken({ cvlanId }),
      ];
      const first = await newMachineKeys();
      const leaving = memberOf(tokens[0] ?? "", first, await enrolment.join(await requestFor(tokens[0] ?? "", first)));
      await enrolment.join(await requestFor(tokens[1] ?? ""));
      const keys = await newMachineKeys();
      const told = await refusalOf(enrolment.join(await requestFor(tokens[2] ?? "", keys)));
      assert.equal(told.code, "ResourceExhausted");
      assert.notEqual(told.remedy, "");
      const owner = createClient(EnrollmentService, installation.person(side.admin));
      const { tokens: listed } = await owner.listJoinTokens({ tenantId: side.tenantId, cvlanId });
      const third = listed.find(({ id }) => id === parseJoinString(tokens[2] ?? "").tokenId);
      assert.equal(third?.status, JoinTokenStatus.UNUSED);

      await side.revoke(leaving);
      const { node } = await enrolment.join(await requestFor(tokens[2] ?? "", keys));
      assert.deepEqual(node?.addresses, leaving.addresses);
    });

    it("says no word of it in the log above info, and never a secret", async () => {
      const token = await side.newToken();
      const { secret } = parseJoinString(token);
      await enrolment.join(await requestFor(token));
      const text = JSON.stringify(installation.lines, (_key, value: unknown) =>
        typeof value === "bigint" ? String(value) : value,
      );
      for (const form of ["base64", "base64url", "hex"] as const) {
        assert.ok(!text.includes(Buffer.from(secret).toString(form)));
      }
      assert.ok(!text.includes(installation.ownerKey));
      const loud = installation.lines.filter(({ level }) => level === "error");
      assert.deepEqual(loud, []);
    });
  });
}
