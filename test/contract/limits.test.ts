import assert from "node:assert/strict";
import { once } from "node:events";
import type { ClientHttp2Session } from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { CertificateService, CreateTenantRequestSchema, TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import { type Installation, newInstallation } from "./installation.ts";
import { until } from "./until.ts";
import { openSession, type RawAnswer, send } from "./wire.ts";

const BUNDLE = pathOf(CertificateService.method.getTrustBundle);
const CREATE_TENANT = pathOf(TenantService.method.createTenant);
const CONNECTIONS = 12;
const STREAMS = 8;
const RATE = 40;
/** Where the one calls from who goes too far, and where everybody else does. */
const [GREEDY, MODEST] = ["127.0.0.2", "127.0.0.3"];
/** Of nobody else in this suite: its connections are counted. */
const CROWDED = "127.0.0.4";

describe("limits before authentication", function () {
  this.timeout(120_000);
  let installation: Installation;
  let modest: ClientHttp2Session;
  let unfinished: Socket;

  before(async () => {
    const limits = {
      requests_per_second: RATE,
      connections_per_address: CONNECTIONS,
      streams_per_connection: STREAMS,
    };
    installation = await newInstallation({ kind: "postgres", config: { limits } });
    modest = openSession(installation, { from: MODEST });
    // A TLS record that never comes to its end; the tests below pass meanwhile.
    unfinished = connectTcp({ host: "127.0.0.1", port: installation.port, localAddress: MODEST });
    unfinished.on("error", () => undefined);
    unfinished.resume();
    unfinished.write(Buffer.from([0x16, 0x03, 0x01]));
  });
  after(async () => {
    modest.destroy();
    await installation.close();
  });

  const bundle = (session: ClientHttp2Session): Promise<RawAnswer> =>
    send(session, { ":path": BUNDLE, "content-type": "application/proto" });
  /** Somebody at another address notices nothing. */
  async function assertOthersServed(): Promise<void> {
    const started = performance.now();
    assert.equal((await bundle(modest)).status, 200);
    assert.ok(performance.now() - started < 10_000);
  }

  it("a call without a credential is refused before its body was sent", async () => {
    const session = openSession(installation, { from: GREEDY });
    const stream = session.request({ ":method": "POST", ":path": CREATE_TENANT, "content-type": "application/proto" });
    stream.on("error", () => undefined);
    const [headers] = (await once(stream, "response")) as [{ ":status"?: number }];
    assert.equal(headers[":status"], 401);
    session.destroy();
  });

  it("a body over a mebibyte is refused, with and without a credential", async () => {
    const name = "x".repeat(2_000_000);
    const body = toBinary(CreateTenantRequestSchema, create(CreateTenantRequestSchema, { name }));
    const session = openSession(installation, { from: GREEDY });
    const headers = { ":path": CREATE_TENANT, "content-type": "application/proto" };
    const known = await send(session, { ...headers, authorization: `Bearer ${installation.ownerKey}` }, body);
    assert.equal(known.status, 429);
    const unknown = await send(session, { ":path": BUNDLE, "content-type": "application/proto" }, body);
    assert.equal(unknown.status, 429);
    session.destroy();
    await assertOthersServed();
  });

  it("headers over 32 KiB are refused", async () => {
    const session = openSession(installation, { from: GREEDY });
    const refused = send(session, {
      ":path": BUNDLE,
      "content-type": "application/proto",
      "x-long": "x".repeat(60_000),
    });
    const answer = await refused.catch(() => undefined);
    assert.ok(answer === undefined || answer.status === 431, `answered ${answer?.status}`);
    session.destroy();
    await assertOthersServed();
  });

  it("streams over the number of a connection wait or are refused, and the connection lives", async () => {
    const session = openSession(installation, { from: GREEDY });
    await once(session, "remoteSettings");
    assert.equal(session.remoteSettings.maxConcurrentStreams, STREAMS);
    const answers = await Promise.all(Array.from({ length: 3 * STREAMS }, () => bundle(session)));
    assert.ok(answers.every(({ status }) => status === 200));
    session.destroy();
    await assertOthersServed();
  });

  it("connections over the number of an address are closed, whoever asks", async () => {
    const held = Array.from({ length: CONNECTIONS }, () => openSession(installation, { from: CROWDED }));
    for (const answer of await Promise.all(held.map(bundle))) assert.equal(answer.status, 200);
    const surplus = openSession(installation, { from: CROWDED });
    await assert.rejects(bundle(surplus));
    surplus.destroy();
    assert.ok(
      held.every(({ closed }) => !closed),
      "others of the address were closed for it",
    );
    await assertOthersServed();
    for (const session of held) session.destroy();
    await until("the address to be let in again", async () => {
      const session = openSession(installation, { from: CROWDED });
      const answer = await bundle(session).catch(() => undefined);
      session.destroy();
      return answer?.status === 200;
    });
  });

  it("requests over the rate of an address are refused with the time to wait, and the others are not", async () => {
    const session = openSession(installation, { from: GREEDY });
    let refused: RawAnswer | undefined;
    for (let index = 0; index < 10 * RATE && !refused; index++) {
      const answer = await bundle(session);
      if (answer.status === 429) refused = answer;
      else assert.equal(answer.status, 200);
    }
    assert.ok(refused, "nobody was refused");
    const told = JSON.parse(refused.body.toString()) as { code: string; message: string };
    assert.equal(told.code, "resource_exhausted");
    await assertOthersServed();
    await until("the address to be let in again", async () => (await bundle(session)).status === 200);
    session.destroy();
  });

  it("a handshake that is not finished is given up", async () => {
    if (!unfinished.closed) await once(unfinished, "close");
  });

  it("says little of it in the log", () => {
    const loud = installation.lines.filter(({ level }) => level === "error" || level === "warn");
    assert.deepEqual(loud, []);
    assert.ok(installation.lines.filter(({ level }) => level === "info").length < 50);
  });
});
