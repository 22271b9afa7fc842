import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join as joinPath } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { type JoinString, JoinStringSchema } from "@cloudvlan/gen/entity/v1/enrollment_pb.js";
import { EnrollmentService, type JoinRequest } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { systemClock } from "@cloudvlan/kit/clock";
import { Refusal } from "@cloudvlan/kit/errors";
import { checkCsr } from "@cloudvlan/kit/ca";
import { loadIdentity } from "../certificate/files.ts";
import { join, type Prover } from "../enrol/join.ts";
import { parseJoinString } from "../enrol/join-string.ts";
import { nodeNameOf } from "../enrol/name.ts";
import { newSigningSeed, signingKeyFromSeed, signRootTransition } from "@cloudvlan/kit/sign";
import { joinTranscript } from "@cloudvlan/kit/transcript";
import { readMembership } from "../state/membership.ts";
import { CLUSTER, CVLAN, NODE, NODE_URI, TENANT, type TestCa, testCa } from "./ca.ts";
import { type TestController, testController } from "./controller.ts";
import { temporaryFolder, until } from "./support.ts";

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest();
const ROOT_KEY = randomBytes(32);
const EXPECTED = { clusterId: CLUSTER, tenantId: TENANT, nodeId: NODE };

function encoded(invitation: JoinString): string {
  return `cvlan1.${Buffer.from(toBinary(JoinStringSchema, invitation)).toString("base64url")}`;
}

const keys = { wireguardPublicKey: randomBytes(32), controlPublicKey: randomBytes(32), capabilityVersion: 1 };

describe("join", function () {
  this.timeout(120_000);
  let ca: TestCa;
  let controller: TestController;
  /** What the controller does at `Join`, by test. */
  let answer: ServiceImpl<typeof EnrollmentService>["join"];
  let requests: JoinRequest[] = [];
  const transcripts: Uint8Array[] = [];
  const prover: Prover = {
    identity: keys,
    prove: async ({ transcript }) => {
      transcripts.push(transcript);
      return {
        $typeName: "cloudvlan.engine.v1.ProveResponse",
        wireguardProof: sha256(transcript),
        controlProof: sha256(transcript),
      };
    },
  };
  const options = (state: string, expelled = false) => ({ state, prover, clock: systemClock, expelled });
  let signal: AbortSignal;
  beforeEach(() => {
    signal = AbortSignal.timeout(110_000);
  });

  before(async () => {
    ca = await testCa();
    controller = await testController(ca, (router) => {
      router.service(CertificateService, { getTrustBundle: () => ({ bundle: { roots: [...ca.roots] } }) });
      router.service(EnrollmentService, {
        beginJoin: () => ({ serverPublicKey: randomBytes(32), challenge: randomBytes(64) }),
        join: (request, context) => {
          requests.push(request);
          return answer(request, context);
        },
      });
    });
  });
  after(async () => {
    await controller[Symbol.asyncDispose]();
    await ca[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    requests = [];
    answer = (request) => accept(request);
  });

  const accept = async (request: JoinRequest, uri = NODE_URI, csr = request.csr) => ({
    node: { id: NODE, tenantId: TENANT, cvlanId: CVLAN, clusterId: CLUSTER, name: request.name },
    certificate: { chain: [...(await ca.authority.sign(csr, uri, [], 3600)).chain] },
    bundle: { roots: [...ca.roots] },
    rootPublicKey: ROOT_KEY,
    cvlanName: "office",
  });
  const invitation = (change: Partial<JoinString> = {}) =>
    create(JoinStringSchema, {
      url: controller.url,
      caSha256: sha256(ca.roots[0] ?? new Uint8Array()),
      rootKeySha256: sha256(ROOT_KEY),
      tenantId: TENANT,
      tokenId: "jointoken_1",
      secret: randomBytes(32),
      ...change,
    });
  const refused = (promise: Promise<unknown>, reason: string) =>
    assert.rejects(promise, (error) => error instanceof Refusal && error.reason === reason);

  it("ends with a membership, a certificate of our key, and nothing pending", async () => {
    await using folder = await temporaryFolder();
    const joined = await join(options(folder.path), encoded(invitation()), "web1", signal);
    assert.equal(joined.node_id, NODE);
    assert.deepEqual(await readMembership(folder.path), joined);
    const identity = await loadIdentity(folder.path, EXPECTED, Date.now());
    assert.match(identity.keyPem, /BEGIN PRIVATE KEY/);
    assert.deepEqual((await readdir(folder.path)).sort(), ["agent.json", "roots.pem", "tls.key", "tls.pem"]);
    const [request] = requests;
    assert.ok(request);
    const { der: csr } = await checkCsr(request.csr);
    assert.deepEqual(
      Buffer.from(transcripts.at(-1) ?? []),
      Buffer.from(joinTranscript({ ...keys, tokenId: "jointoken_1", csr })),
    );
  });

  it("follows the root key that an older join string pins to the present one, and believes no other", async () => {
    const [first, second, present] = [1, 2, 3].map(() => signingKeyFromSeed("root", newSigningSeed()));
    assert.ok(first && second && present);
    const transitions = [
      signRootTransition(first, TENANT, 1n, second.publicKey, Date.now()),
      signRootTransition(second, TENANT, 2n, present.publicKey, Date.now()),
    ];
    const pins = (key: Uint8Array) => encoded(invitation({ rootKeySha256: sha256(key) }));
    const answers = async (request: JoinRequest, rootTransitions: typeof transitions) => ({
      ...(await accept(request)),
      rootPublicKey: present.publicKey,
      rootTransitions,
    });
    answer = (request) => answers(request, transitions);
    for (const pinned of [first, second, present]) {
      await using folder = await temporaryFolder();
      const joined = await join(options(folder.path), pins(pinned.publicKey), "web1", signal);
      assert.equal(joined.root_public_key, Buffer.from(present.publicKey).toString("base64"));
    }
    await using folder = await temporaryFolder();
    await refused(join(options(folder.path), pins(ROOT_KEY), "web1", signal), "JOIN_ANSWER_UNTRUSTED");
    for (const broken of [transitions.slice(1), transitions.slice(0, 1), transitions.toReversed(), []]) {
      answer = (request) => answers(request, broken);
      await using other = await temporaryFolder();
      await refused(join(options(other.path), pins(first.publicKey), "web1", signal), "JOIN_ANSWER_UNTRUSTED");
    }
  });

  it("repeats the same join with the same key after the answer was lost", async () => {
    await using folder = await temporaryFolder();
    const text = encoded(invitation());
    let lost = 0;
    answer = (request) => {
      lost += 1;
      if (lost > 2) return accept(request);
      controller.cut();
      throw new ConnectError("gone", Code.Unavailable);
    };
    await until("a join whose answer arrives", () =>
      join(options(folder.path), text, "web1", signal).then(
        () => true,
        () => false,
      ),
    );
    assert.ok(requests.length >= 3);
    assert.equal(new Set(requests.map(({ csr }) => Buffer.from(csr).toString("hex"))).size, 1);
  });

  it("completes the same join after a crash between any two writes", async () => {
    await using whole = await temporaryFolder();
    await using begun = await temporaryFolder();
    const text = encoded(invitation());
    answer = () => {
      throw new ConnectError("the CA is down", Code.Internal);
    };
    await assert.rejects(join(options(begun.path), text, "web1", signal));
    await cp(begun.path, whole.path, { recursive: true });
    answer = (request) => accept(request);
    await join(options(whole.path), text, "web1", signal);
    const read = (name: string) => readFile(joinPath(whole.path, name));
    const [pending, roots, key, chain, agent] = await Promise.all([
      readFile(joinPath(begun.path, "join.pending")),
      read("roots.pem"),
      read("tls.key"),
      read("tls.pem"),
      read("agent.json"),
    ]);
    const snapshots: Record<string, Buffer>[] = [
      { "join.pending": pending },
      { "join.pending": pending, "roots.pem": roots },
      { "join.pending": pending, "roots.pem": roots, "tls.key.next": key },
      { "join.pending": pending, "roots.pem": roots, "tls.key.next": key, "tls.pem.next": chain },
      { "join.pending": pending, "roots.pem": roots, "tls.key": key, "tls.pem.next": chain },
      { "join.pending": pending, "roots.pem": roots, "tls.key": key, "tls.pem": chain },
      { "join.pending": pending, "roots.pem": roots, "tls.key": key, "tls.pem": chain, "agent.json": agent },
    ];
    requests = [];
    for (const [index, files] of snapshots.entries()) {
      await using folder = await temporaryFolder();
      for (const [name, content] of Object.entries(files)) {
        await writeFile(joinPath(folder.path, name), content, { mode: 0o600 });
      }
      const joined = await join(options(folder.path), text, "web1", signal);
      assert.equal(joined.node_id, NODE, `snapshot ${index}`);
      const identity = await loadIdentity(folder.path, EXPECTED, Date.now());
      assert.equal(identity.keyPem, key.toString(), `snapshot ${index}`);
      assert.ok(!(await readdir(folder.path)).includes("join.pending"), `snapshot ${index}`);
    }
    assert.equal(requests.length, snapshots.length - 1);
  });

  it("forgets the key of a join that was refused for good, and keeps it when it may still succeed", async () => {
    await using folder = await temporaryFolder();
    answer = () => {
      throw new Refusal("exhausted", "POOL_EXHAUSTED", "no address is free").toConnectError();
    };
    await assert.rejects(join(options(folder.path), encoded(invitation()), "web1", signal));
    assert.deepEqual(await readdir(folder.path), ["join.pending"]);
    answer = () => {
      throw new Refusal("unauthenticated", "TOKEN_REFUSED", "the token is not accepted").toConnectError();
    };
    await assert.rejects(join(options(folder.path), encoded(invitation()), "web1", signal));
    assert.deepEqual(await readdir(folder.path), []);
  });

  it("believes no other CA, root key, tenant, node or key than the join string and its own", async () => {
    await using folder = await temporaryFolder();
    const attempt = (change: Partial<JoinString> = {}) =>
      join(options(folder.path), encoded(invitation(change)), "web1", signal);
    await refused(attempt({ caSha256: randomBytes(32) }), "CA_MISMATCH");
    assert.equal(requests.length, 0, "the secret left for an unknown server");
    await refused(attempt({ rootKeySha256: randomBytes(32) }), "JOIN_ANSWER_UNTRUSTED");
    await refused(attempt({ tenantId: "tenant_other" }), "JOIN_ANSWER_UNTRUSTED");
    answer = (request) => accept(request, NODE_URI.replace(/0$/, "1"));
    await refused(attempt(), "CERTIFICATE_WRONG");
    const foreign = requests[0]?.csr;
    answer = (request) => accept(request, NODE_URI, foreign);
    await refused(attempt(), "CERTIFICATE_WRONG");
    assert.equal(await readMembership(folder.path), undefined);
  });

  it("does not turn a node into another one", async () => {
    await using folder = await temporaryFolder();
    const text = encoded(invitation());
    const joined = await join(options(folder.path), text, "web1", signal);
    assert.deepEqual(await join(options(folder.path), text, "other", signal), joined);
    for (const [expelled, remedy] of [
      [false, /another --state/],
      [true, /remove the state folder/],
    ] as const) {
      const another = join(options(folder.path, expelled), encoded(invitation({ tokenId: "t2" })), "web1", signal);
      await assert.rejects(another, (error) => {
        assert.ok(error instanceof Refusal && error.reason === "ALREADY_ENROLLED");
        assert.match(error.detail.remedy ?? "", remedy);
        return true;
      });
    }
  });

  it("names the damaged file and leaves it alone", async () => {
    await using folder = await temporaryFolder();
    await mkdir(folder.path, { recursive: true });
    await writeFile(joinPath(folder.path, "agent.json"), '{"version":1,', { mode: 0o600 });
    await assert.rejects(readMembership(folder.path), /agent\.json is damaged/);
    await rm(joinPath(folder.path, "agent.json"));
    await writeFile(joinPath(folder.path, "agent.json"), "{}", { mode: 0o644 });
    await refused(readMembership(folder.path), "STATE_FILE_OPEN_TO_OTHERS");
  });
});

describe("a join string", () => {
  const good = create(JoinStringSchema, {
    url: "https://vpn.example.org:8443",
    caSha256: new Uint8Array(32),
    rootKeySha256: new Uint8Array(32),
    tenantId: TENANT,
    tokenId: "jointoken_1",
    secret: new Uint8Array(32).fill(7),
  });

  it("is read with white space around it", () => {
    assert.equal(parseJoinString(` ${encoded(good)}\n`).tokenId, "jointoken_1");
  });

  it("is refused in every other form, without repeating it", () => {
    const text = encoded(good);
    const withUnknown = Buffer.concat([toBinary(JoinStringSchema, good), Buffer.from([0x7a, 1, 65])]);
    const bad = [
      "",
      "cvlan1.",
      text.slice(7),
      text.slice(0, -3),
      `${text}=`,
      text.replace("cvlan1", "cvlan2"),
      `${text.slice(0, 20)} ${text.slice(20)}`,
      `cvlan1.${"A".repeat(5_000)}`,
      `cvlan1.${withUnknown.toString("base64url")}`,
      encoded(create(JoinStringSchema, { ...good, url: "http://vpn.example.org" })),
      encoded(create(JoinStringSchema, { ...good, url: "https://vpn.example.org/path" })),
      encoded(create(JoinStringSchema, { ...good, url: "https://user:pw@vpn.example.org" })),
      encoded(create(JoinStringSchema, { ...good, secret: new Uint8Array(31) })),
    ];
    for (const input of bad) {
      assert.throws(
        () => parseJoinString(input),
        (error) =>
          error instanceof Refusal &&
          error.detail.field === "join_string" &&
          (input.length < 20 || !error.message.includes(input.slice(7, 40))),
        input.slice(0, 60),
      );
    }
  });
});

describe("a node's name", () => {
  it("is a DNS label made of the host's name", () => {
    assert.equal(nodeNameOf("Web_01.example.org"), "web-01");
    assert.equal(nodeNameOf("--"), "node");
    assert.equal(nodeNameOf("x".repeat(80)).length, 63);
    assert.match(nodeNameOf(`${"a".repeat(62)}-b`), /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
  });
});
