import assert from "node:assert/strict";
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { NetmapService, WatchResponseSchema } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { RegionService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { type Connection, connectTo } from "../../client/index.ts";
import { Refusal } from "../../errors/index.ts";
import { newId, type NodeId, type TenantId } from "../../ids/index.ts";
import { formatSpiffe, pemOf } from "../../pki/index.ts";
import { frameOf } from "../../server/index.ts";
import type { Composition } from "../../service/index.ts";
import { testAuthority } from "./authority.ts";
import { bench, type Bench, until } from "./fixture.ts";
import { testAuth, testNetmap, testRegistry } from "./services.ts";

const LAG_SECONDS = 1;
const HOUR_MS = 3_600_000;

const frame = (revision: bigint, padding = 0): Uint8Array =>
  toBinary(WatchResponseSchema, create(WatchResponseSchema, { update: { revision, head: new Uint8Array(padding) } }));

const codeOf = (error: unknown): string => Code[ConnectError.from(error).code] ?? "";

describe("nodes", () => {
  let b: Bench;
  let process: Composition;
  let source: (signal: AbortSignal) => AsyncIterable<Uint8Array>;
  const auth = testAuth();
  const netmap = testNetmap((_request, signal) => source(signal));
  const open: Connection[] = [];
  const tenantId: TenantId = newId("tenant", Date.now());

  const spiffeOf = (nodeId: NodeId) => ({ trustDomain: b.clusterId, kind: "node", tenantId, nodeId }) as const;
  async function asNode(nodeId: NodeId, validity?: { notBefore: Date; notAfter: Date }): Promise<Connection> {
    const credential = await b.ca.issue(spiffeOf(nodeId), validity);
    const connection = connectTo(process.url, { roots: await b.roots(), ...credential });
    open.push(connection);
    return connection;
  }
  const newNode = (): NodeId => newId("node", Date.now());

  /** Yields what the test pushes, until the signal. */
  async function* ticking(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    for (let revision = 1n; !signal.aborted; revision++) {
      yield frame(revision);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  before(async () => {
    b = await bench();
    process = await b.start(
      [auth.definition, testRegistry().definition, netmap.definition],
      b.config({ denial_lag_seconds: LAG_SECONDS }),
    );
  });
  beforeEach(() => {
    source = ticking;
  });
  afterEach(() => {
    for (const connection of open.splice(0)) connection.close();
  });
  after(() => b.close());

  it("are let in by their certificate, to what is for nodes and to nothing else", async () => {
    const connection = await asNode(newNode());
    await createClient(NetmapService, connection).reportEndpoints({});
    await assert.rejects(createClient(RegionService, connection).listRegions({}), (error) => {
      assert.equal(codeOf(error), "PermissionDenied");
      return true;
    });
  });

  it("are refused with a certificate of another CA, of another cluster, or of another kind", async () => {
    const stranger = await testAuthority();
    const foreign = { ...spiffeOf(newNode()), trustDomain: newId("cluster", Date.now()) };
    const controller = { trustDomain: b.clusterId, kind: "controller", host: "x" } as const;
    for (const credential of [
      await stranger.issue(spiffeOf(newNode())),
      await b.ca.issue(foreign),
      await b.ca.issue(controller),
    ]) {
      const connection = connectTo(process.url, { roots: await b.roots(), ...credential });
      open.push(connection);
      await assert.rejects(createClient(NetmapService, connection).poll({}), (error) => {
        assert.equal(codeOf(error), "Unauthenticated");
        return true;
      });
    }
  });

  it("may renew with an expired certificate and do nothing else with it", async () => {
    const past = { notBefore: new Date(Date.now() - 2 * HOUR_MS), notAfter: new Date(Date.now() - HOUR_MS) };
    const connection = await asNode(newNode(), past);
    const csr = new Uint8Array(64);
    const { certificate } = await createClient(CertificateService, connection).renewCertificate({ csr });
    assert.equal(certificate?.spiffeId, "node");
    await assert.rejects(createClient(NetmapService, connection).poll({}), (error) => {
      assert.equal(codeOf(error), "Unauthenticated");
      return true;
    });
  });

  it("read ready-made frames by gRPC and by Connect, and the source ends with the reader", async () => {
    const credential = await b.ca.issue(spiffeOf(newNode()));
    const connect = createConnectTransport({
      httpVersion: "2",
      baseUrl: process.url,
      nodeOptions: { ca: pemOf(await b.roots()), cert: pemOf(credential.certificate), key: credential.key },
    });
    for (const transport of [await asNode(newNode()), connect]) {
      const endedBefore = netmap.state.ended;
      const stop = new AbortController();
      const revisions: bigint[] = [];
      const reading = (async () => {
        for await (const { update } of createClient(NetmapService, transport).watch({}, { signal: stop.signal })) {
          revisions.push(update?.revision ?? 0n);
          if (revisions.length === 3) stop.abort();
        }
      })();
      await assert.rejects(reading, (error) => codeOf(error) === "Canceled");
      assert.deepEqual(revisions, [1n, 2n, 3n]);
      await until("the source to end", () => netmap.state.ended > endedBefore);
    }
  });

  it("get the end and the refusal of a frame stream", async () => {
    source = async function* () {
      yield frame(7n);
    };
    const seen: bigint[] = [];
    for await (const { update } of createClient(NetmapService, await asNode(newNode())).watch({})) {
      seen.push(update?.revision ?? 0n);
    }
    assert.deepEqual(seen, [7n]);
    source = async function* () {
      yield frame(8n);
      throw new Refusal("denied", "NODE_REVOKED", "gone");
    };
    const reading = (async () => {
      for await (const { update } of createClient(NetmapService, await asNode(newNode())).watch({})) {
        seen.push(update?.revision ?? 0n);
      }
    })();
    await assert.rejects(reading, (error) => codeOf(error) === "PermissionDenied");
    assert.deepEqual(seen, [7n, 8n]);
  });

  it("are refused frames without a certificate, with garbage, and beside the protocol", async () => {
    const anonymous = connectTo(process.url, { roots: await b.roots() });
    open.push(anonymous);
    const before = netmap.state.opened;
    await assert.rejects(createClient(NetmapService, anonymous).watch({})[Symbol.asyncIterator]().next(), (error) => {
      assert.equal(codeOf(error), "Unauthenticated");
      return true;
    });
    const session = await rawSession(b, process, spiffeOf(newNode()));
    const envelope = frameOf(new Uint8Array([0xff, 0xff, 0xff]));
    assert.equal((await post(session, "application/grpc", envelope)).status, "3");
    assert.equal((await post(session, "application/grpc", new Uint8Array(3))).status, "3");
    assert.equal((await post(session, "application/grpc", frameOf(new Uint8Array(70_000)))).status, "3");
    assert.equal((await post(session, "application/json", envelope)).http, 415);
    session.destroy();
    assert.equal(netmap.state.opened, before);
  });

  it("get the headers of a frame stream before its first frame", async () => {
    const release = Promise.withResolvers<void>();
    source = async function* () {
      await release.promise;
      yield frame(1n);
    };
    const session = await rawSession(b, process, spiffeOf(newNode()));
    const request = session.request({
      ":method": "POST",
      ":path": "/cloudvlan.netmap.v1.NetmapService/Watch",
      "content-type": "application/grpc",
    });
    request.end(frameOf(new Uint8Array()));
    await new Promise((resolve) => request.once("response", resolve));
    release.resolve();
    session.destroy();
  });

  it("are cut when they are denied, on the stream and at the next call, and others are not", async () => {
    const [victim, other] = [newNode(), newNode()];
    const past = { notBefore: new Date(Date.now() - HOUR_MS), notAfter: new Date(Date.now() + HOUR_MS) };
    const connection = await asNode(victim, past);
    const bystander = await asNode(other, past);
    let frames = 0;
    let bystanderFrames = 0;
    const stop = new AbortController();
    const reading = (async () => {
      for await (const _ of createClient(NetmapService, connection).watch({})) frames += 1;
    })();
    const watching = (async () => {
      for await (const _ of createClient(NetmapService, bystander).watch({}, { signal: stop.signal }))
        bystanderFrames += 1;
    })();
    const cut = assert.rejects(reading, (error) => codeOf(error) === "Unauthenticated");
    const stopped = assert.rejects(watching, (error) => codeOf(error) === "Canceled");
    await until("both streams", () => frames > 0 && bystanderFrames > 0);
    auth.deny(formatSpiffe(spiffeOf(victim)), Math.floor(Date.now() / 1000));
    await cut;
    await assert.rejects(
      createClient(NetmapService, connection).poll({}),
      (error) => codeOf(error) === "Unauthenticated",
    );
    const seen = bystanderFrames;
    await until("frames of the other", () => bystanderFrames > seen);
    stop.abort();
    await stopped;
  });

  it("are refused a stream whose request came so slowly that they were denied meanwhile", async () => {
    const nodeId = newNode();
    const witness = await asNode(nodeId);
    const session = await rawSession(b, process, spiffeOf(nodeId));
    const opened = netmap.state.opened;
    const request = session.request({
      ":method": "POST",
      ":path": "/cloudvlan.netmap.v1.NetmapService/Watch",
      "content-type": "application/grpc",
    });
    const trailers = new Promise<string>((resolve) => {
      request.once("response", (headers) => headers["grpc-status"] && resolve(String(headers["grpc-status"])));
      request.once("trailers", (headers) => resolve(String(headers["grpc-status"])));
    });
    request.resume();
    request.write(Buffer.from([0]));
    await new Promise((resolve) => session.ping(resolve));
    await createClient(NetmapService, witness).poll({});
    auth.deny(formatSpiffe(spiffeOf(nodeId)), Math.floor(Date.now() / 1000) + 60);
    let answer = "";
    const ask = async (): Promise<void> => {
      while (answer !== "Unauthenticated") {
        answer = await createClient(NetmapService, witness)
          .poll({})
          .then(() => "ok", codeOf);
      }
    };
    void ask();
    await until("the denial", () => answer === "Unauthenticated");
    request.end(Buffer.from([0, 0, 0, 0]));
    assert.equal(await trailers, String(Code.Unauthenticated));
    assert.equal(netmap.state.opened, opened);
    session.destroy();
  });

  it("are all refused while auth is not heard, and let in again when it is", async () => {
    const client = createClient(NetmapService, await asNode(newNode()));
    await client.poll({});
    auth.state.silent = true;
    const pollUntil = async (wanted: string): Promise<void> => {
      const end = Date.now() + 20_000;
      for (let answer = ""; answer !== wanted;) {
        assert.ok(Date.now() < end, `never came: ${wanted}`);
        answer = await client.poll({}, { timeoutMs: 500 }).then(() => "ok", codeOf);
      }
    };
    await pollUntil("Unavailable");
    auth.state.silent = false;
    await pollUntil("ok");
  });

  it("cost one frame and no more when they do not read", async () => {
    let yielded = 0;
    source = async function* (signal) {
      for (let revision = 1n; !signal.aborted; revision++) {
        yielded += 1;
        yield frame(revision, 65_536);
      }
    };
    const session = await rawSession(b, process, spiffeOf(newNode()));
    const request = session.request({
      ":method": "POST",
      ":path": "/cloudvlan.netmap.v1.NetmapService/Watch",
      "content-type": "application/grpc",
    });
    request.end(frameOf(new Uint8Array()));
    await new Promise((resolve) => request.once("response", resolve));
    request.pause();
    let last = -1;
    await until("the source to stand still", () => {
      const still = yielded === last && yielded > 0;
      last = yielded;
      return still;
    });
    assert.ok(yielded <= 3, `${yielded} frames of 64 KiB were taken from the source for a reader that reads none`);
    session.destroy();
  });
});

async function rawSession(b: Bench, process: Composition, spiffe: Parameters<Bench["ca"]["issue"]>[0]) {
  const credential = await b.ca.issue(spiffe);
  const session = connectHttp2(process.url, {
    ca: pemOf(await b.roots()),
    cert: pemOf(credential.certificate),
    key: credential.key,
  });
  await new Promise((resolve, reject) => session.once("connect", resolve).once("error", reject));
  return session;
}

async function post(session: ClientHttp2Session, contentType: string, body: Uint8Array) {
  const request = session.request({
    ":method": "POST",
    ":path": "/cloudvlan.netmap.v1.NetmapService/Watch",
    "content-type": contentType,
  });
  let http = 0;
  let status: unknown;
  request.on("response", (headers) => {
    http = Number(headers[":status"]);
    status = headers["grpc-status"];
  });
  request.on("trailers", (trailers) => (status = trailers["grpc-status"]));
  request.resume();
  request.end(body);
  await new Promise((resolve) => request.once("close", resolve));
  return { http, status };
}
