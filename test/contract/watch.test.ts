import assert from "node:assert/strict";
import type { ClientHttp2Stream } from "node:http2";
import { AuthService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { NetmapService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import { newAuthority } from "@cloudvlan/kit/ca";
import { formatSpiffe, pemOf } from "@cloudvlan/kit/pki";
import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { type Credential, issuerOf, yesterday } from "./certificates.ts";
import { sharedCa } from "./ca.ts";
import { type Installation, newInstallation } from "./installation.ts";
import type { Member } from "./member.ts";
import { invoke, type Refused, refusalOf } from "./outcome.ts";
import { until } from "./until.ts";
import { view, type Viewer } from "./viewer.ts";
import { envelope, HTTP2_ENHANCE_YOUR_CALM, openSession, send } from "./wire.ts";
import { allow, ANY, newSide, type Side } from "./world.ts";

const { watch } = NetmapService.method;
/** More than a stream buffers for a reader that takes nothing. */
const MANY_RULES = 300;

for (const kind of ["pglite", "postgres"] as const) {
  describe(`the map stream, on ${kind}`, function () {
    this.timeout(120_000);
    let installation: Installation;
    let side: Side;
    let other: Side;
    let first: Member;
    let second: Member;
    let slow: ClientHttp2Stream;
    let ahead: Promise<Refused>;
    const viewers: Viewer[] = [];

    function watching(member: Member): Viewer {
      const viewer = view(installation.holder(member.credential), member);
      viewers.push(viewer);
      return viewer;
    }

    before(async () => {
      installation = await newInstallation({ kind });
      [side, other] = [await newSide(installation, "alice"), await newSide(installation, "bob")];
      [first, second] = [await side.newMember(), await side.newMember()];
      await side.apply(...Array.from({ length: MANY_RULES }, (_, index) => allow(`rule-${index}`, ANY, ANY)));
      // These two take their time; it passes under the other tests.
      ahead = refusalOf(
        invoke(installation.holder(first.credential), watch, { position: { epoch: 1n, revision: 1_000_000n } }),
      );
      const session = openSession(installation, { credential: second.credential, window: 0 });
      slow = session.request({ ":method": "POST", ":path": pathOf(watch), "content-type": "application/grpc" });
      slow.on("error", () => undefined);
      slow.end(envelope(new Uint8Array()));
    });
    afterEach(async () => {
      for (const viewer of viewers.splice(0)) await viewer.stop();
    });
    after(() => installation.close());

    const nodeOf = ({ tenantId, nodeId }: Member) => ({ kind: "node", tenantId, nodeId }) as const;

    /** The same caller by both protocols that frames are served in. */
    function transports(credential: Credential | undefined): Transport[] {
      const tls = credential && { cert: pemOf(credential.certificate), key: credential.key };
      const connect = createConnectTransport({
        httpVersion: "2",
        baseUrl: installation.url,
        nodeOptions: { ca: pemOf(installation.roots), ...tls },
      });
      return [credential ? installation.holder(credential) : installation.anonymous(), connect];
    }

    async function assertRefused(credential: Credential | undefined, code: string, reason: string): Promise<void> {
      for (const transport of transports(credential)) {
        const told = await refusalOf(invoke(transport, watch, {}));
        assert.deepEqual([told.code, told.reason], [code, reason]);
      }
    }

    it("shows a member its own record and those it may talk to, every byte signed", async () => {
      const viewer = watching(first);
      await until("the second node on the map of the first", () => viewer.nodes.size === 2);
      assert.equal(viewer.rules.size, MANY_RULES);
      assert.deepEqual(viewer.nodes.get(second.nodeId)?.wireguardPublicKey, second.keys.wireguard.publicKey);
      for (const transport of transports(first.credential)) await invoke(transport, watch, {});
    });

    it("is refused to nobody", () => assertRefused(undefined, "Unauthenticated", "CREDENTIAL_MISSING"));
    it("is refused to a service", async () =>
      assertRefused(
        await installation.certify({ kind: "service", name: "registry" }),
        "PermissionDenied",
        "CALLER_KIND",
      ));
    it("is refused to the certificate of a listener", async () =>
      assertRefused(
        await installation.certify({ kind: "controller", host: "localhost" }),
        "Unauthenticated",
        "CERTIFICATE_REFUSED",
      ));
    it("is refused to a certificate that ran out", async () =>
      assertRefused(
        await installation.certify(nodeOf(first), yesterday(Date.now())),
        "Unauthenticated",
        "CERTIFICATE_REFUSED",
      ));
    it("is refused to a certificate of another CA", async () => {
      const { intermediatePem, intermediateKeyPem } = await newAuthority(installation.clusterId, Date.now());
      const uri = formatSpiffe({ ...nodeOf(first), trustDomain: installation.clusterId });
      const credential = await issuerOf(intermediatePem, intermediateKeyPem).issue([uri]);
      await assertRefused(credential, "Unauthenticated", "CERTIFICATE_REFUSED");
    });
    it("is refused to a certificate of another trust domain", async () => {
      const { issuer } = await sharedCa();
      const uri = formatSpiffe({ ...nodeOf(first), trustDomain: "cluster_00000000-0000-7000-8000-00000000beef" });
      await assertRefused(await issuer.issue([uri]), "Unauthenticated", "CERTIFICATE_REFUSED");
    });
    it("is refused to a certificate with two identities", async () => {
      const { issuer } = await sharedCa();
      const uris = [first, second].map((member) =>
        formatSpiffe({ ...nodeOf(member), trustDomain: installation.clusterId }),
      );
      await assertRefused(await issuer.issue(uris), "Unauthenticated", "CERTIFICATE_REFUSED");
    });
    it("is refused to a node that claims another tenant", async () => {
      const claimed = { kind: "node", tenantId: other.tenantId, nodeId: first.nodeId } as const;
      await assertRefused(await installation.certify(claimed), "PermissionDenied", "NODE_REVOKED");
    });
    it("is refused to a person", async () => {
      const told = await refusalOf(invoke(installation.person(side.admin), watch, {}));
      assert.deepEqual([told.code, told.reason], ["PermissionDenied", "CALLER_KIND"]);
    });

    it("refuses what is no request, in words", async () => {
      const session = openSession(installation, { credential: first.credential });
      const post = (type: string, body: Uint8Array) =>
        send(session, { ":path": pathOf(watch), "content-type": type }, body);
      const invalid = async (body: Uint8Array) => {
        const { headers, trailers } = await post("application/grpc", body);
        assert.equal(trailers["grpc-status"] ?? headers["grpc-status"], "3");
      };
      await invalid(envelope(Buffer.from([0xff, 0xff, 0xff])));
      await invalid(new Uint8Array(3));
      await invalid(envelope(new Uint8Array(70_000)));
      await invalid(envelope(new Uint8Array(8), 1));
      await invalid(Buffer.concat([envelope(new Uint8Array()), envelope(new Uint8Array())]));
      assert.equal((await post("application/json", new Uint8Array())).status, 415);
      session.destroy();
    });

    it("tells a node of another epoch everything, and one that is ahead of the map to wait", async () => {
      const netmap = createClient(NetmapService, installation.holder(first.credential));
      const { updates } = await netmap.poll({ position: { epoch: 99n, revision: 5n, keysetVersion: 0n } });
      assert.equal(updates[0]?.full, true);
      const told = await ahead;
      assert.deepEqual([told.code, told.reason], ["Unavailable", "MAP_BEHIND"]);
    });

    it("of a node that is revoked ends at once, and its peers drop it", async () => {
      const victim = await side.newMember();
      const [witness, doomed] = [watching(first), watching(victim)];
      await until("both to see each other", () => witness.nodes.has(victim.nodeId) && doomed.nodes.has(first.nodeId));
      await side.revoke(victim);
      await until("the stream to end", () => doomed.ended !== undefined);
      assert.ok(["IDENTITY_DENIED", "NODE_REVOKED"].includes(doomed.ended?.reason ?? ""), doomed.ended?.reason);
      await until("the peer to drop it", () => !witness.nodes.has(victim.nodeId));
      await assertRefused(victim.credential, "Unauthenticated", "IDENTITY_DENIED");
      assert.equal(witness.distrust ?? witness.ended, undefined);
    });

    it("of an identity that is denied ends at once, whatever registry says of the node", async () => {
      const victim = await side.newMember();
      const [witness, doomed] = [watching(first), watching(victim)];
      await until("heads of both", () => witness.heads > 0 && doomed.heads > 0);
      const { tenantId, nodeId } = victim;
      const registry = installation.inProcess({ kind: "local", service: "registry" });
      await createClient(AuthService, registry).deny({ tenantId, nodeId });
      await until("the stream to end", () => doomed.ended !== undefined);
      assert.deepEqual([doomed.ended?.code, doomed.ended?.reason], ["Unauthenticated", "IDENTITY_DENIED"]);
      await assertRefused(victim.credential, "Unauthenticated", "IDENTITY_DENIED");
      assert.equal(witness.distrust ?? witness.ended, undefined);
    });

    it("of another tenant tells nothing of this one", async () => {
      const stranger = await other.newMember();
      const viewer = watching(stranger);
      await until("a head", () => viewer.heads > 0);
      const seen = viewer.heads;
      const joined = await side.newMember();
      const witness = watching(first);
      await until("the new node at home", () => witness.nodes.has(joined.nodeId));
      await until("another head", () => viewer.heads > seen);
      assert.deepEqual([...viewer.nodes.keys()], [stranger.nodeId]);
      assert.equal(viewer.rules.size, 0);
    });

    // The listener's doing, the same on every store: once is enough of a test that takes half a minute.
    if (kind === "pglite") return;
    it("is cut when nobody reads it, and nobody else waits for that", async () => {
      const viewer = watching(first);
      await until("the slow reader to be cut", () => slow.closed);
      assert.equal(slow.rstCode, HTTP2_ENHANCE_YOUR_CALM);
      const seen = viewer.heads;
      await until("heads to go on", () => viewer.heads > seen);
      const resumed = watching(second);
      await until("the slow reader to come back", () => resumed.nodes.has(first.nodeId));
    });
  });
}
