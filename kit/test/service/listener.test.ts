import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { request as requestHttps } from "node:https";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { create, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createConnectRouter } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { NetmapService } from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { RegionService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { callerKey } from "../../caller/index.ts";
import { connectTo } from "../../client/index.ts";
import { newId } from "../../ids/index.ts";
import { type Peer, peerKey } from "../../interceptors/index.ts";
import { createCsr, formatSpiffe, newTlsKey, pemOf } from "../../pki/index.ts";
import { HealthService } from "../../server/health.ts";
import { type FrameRoute, type ListenerIdentity, startListener } from "../../server/index.ts";
import type { Composition } from "../../service/index.ts";
import { silentLog } from "../../testing/log.ts";
import { testAuthority, type TestAuthority } from "./authority.ts";
import { bench, type Bench, until } from "./fixture.ts";
import { testAuth, testRegistry } from "./services.ts";

describe("the listener of a process", () => {
  let b: Bench;
  let process: Composition;
  let ca: string;

  before(async () => {
    b = await bench();
    process = await b.start(
      [testAuth().definition, testRegistry().definition],
      b.config({ limits: { requests_per_second: 50, connections_per_address: 8, streams_per_connection: 16 } }),
    );
    ca = pemOf(await b.roots());
  });
  after(() => b.close());

  it("serves gRPC, gRPC-Web and Connect, on HTTP/2 and HTTP/1.1", async () => {
    const nodeOptions = { ca };
    const baseUrl = process.url;
    const transports = [
      createGrpcTransport({ baseUrl, nodeOptions }),
      createGrpcWebTransport({ baseUrl, httpVersion: "1.1", nodeOptions }),
      createGrpcWebTransport({ baseUrl, httpVersion: "2", nodeOptions }),
      createConnectTransport({ baseUrl, httpVersion: "1.1", nodeOptions }),
      createConnectTransport({ baseUrl, httpVersion: "2", nodeOptions, useBinaryFormat: false }),
    ];
    for (const transport of transports) {
      const { bundle } = await createClient(CertificateService, transport).getTrustBundle({});
      assert.equal(bundle?.roots.length, 1);
    }
  });

  it("speaks TLS 1.3 and nothing older", async () => {
    const attempt = new Promise((resolve, reject) => {
      const socket = connectTls({ port: process.port, host: "127.0.0.1", ca, maxVersion: "TLSv1.2" }, () =>
        resolve(socket),
      );
      socket.once("error", reject);
    });
    await assert.rejects(attempt, /protocol version/);
  });

  it("answers 404 to paths it does not have, before any credential", async () => {
    const status = await new Promise((resolve, reject) => {
      const request = requestHttps(`${process.url}/nowhere`, { method: "POST", ca }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      request.once("error", reject);
      request.end("{}");
    });
    assert.equal(status, 404);
  });

  it("refuses a caller without a credential before it has sent its body", async () => {
    const session = connectHttp2(process.url, { ca });
    const request = session.request({
      ":method": "POST",
      ":path": "/cloudvlan.registry.v1.RegionService/ListRegions",
      "content-type": "application/proto",
    });
    const status = await new Promise((resolve) => request.once("response", (headers) => resolve(headers[":status"])));
    assert.equal(status, 401);
    session.destroy();
  });

  it("reads no body of a caller with a credential of its own making", async () => {
    const stranger = await testAuthority();
    const node = { kind: "node", tenantId: newId("tenant", 0), nodeId: newId("node", 0) } as const;
    const { certificate, key } = await stranger.issue({ trustDomain: b.clusterId, ...node });
    const apiKey = `cvk_platform_00000000-0000-7000-8000-000000000000_${"x".repeat(43)}`;
    for (const [options, headers] of [
      [{ cert: pemOf(certificate), key }, {}],
      [{}, { authorization: `Bearer ${apiKey}` }],
      [{}, { authorization: "Bearer made-up" }],
    ] as const) {
      const session = connectHttp2(process.url, { ca, ...options });
      const path = "/cloudvlan.registry.v1.RegionService/ListRegions";
      const type = { "content-type": "application/proto" };
      const request = session.request({ ":method": "POST", ":path": path, ...type, ...headers });
      request.write(new Uint8Array(1000));
      const status = await new Promise((resolve) => request.once("response", (answer) => resolve(answer[":status"])));
      assert.equal(status, 401);
      session.destroy();
    }
  });

  it("reads little of the body of a caller who may be anybody", async () => {
    const session = connectHttp2(process.url, { ca });
    const path = "/cloudvlan.auth.v1.CertificateService/GetTrustBundle";
    const request = session.request({ ":method": "POST", ":path": path, "content-type": "application/proto" });
    request.write(new Uint8Array(20_000));
    const status = await new Promise((resolve) => request.once("response", (answer) => resolve(answer[":status"])));
    assert.equal(status, 429);
    session.destroy();
  });

  it("refuses a body over the limit", async () => {
    const transport = createConnectTransport({ baseUrl: process.url, httpVersion: "2", nodeOptions: { ca } });
    const client = createClient(CertificateService, transport);
    const headers = { "x-padding": "x" };
    const request = create(CertificateService.method.getTrustBundle.input, {}) as Message;
    request.$unknown = [{ no: 900, wireType: 2, data: new Uint8Array(2_000_000) }];
    await assert.rejects(client.getTrustBundle(request as object, { headers }), (error) => {
      assert.equal(ConnectError.from(error).code, Code.ResourceExhausted);
      return true;
    });
  });

  it("survives requests that are not requests", async () => {
    const path = "/cloudvlan.auth.v1.CertificateService/GetTrustBundle";
    for (const text of [
      `POST ${path} HTTP/1.0\r\n\r\n`,
      `POST ${path} HTTP/1.1\r\nHost: [::bad\r\n\r\n`,
      "GET //:::/ HTTP/1.1\r\nHost: x\r\n\r\n",
      "\x16\x03\x01garbage\r\n\r\n",
      `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/proto\r\nX: ${"y".repeat(70_000)}\r\n\r\n`,
    ]) {
      const socket = connectTls({ port: process.port, host: "127.0.0.1", ca, servername: "localhost" }, () =>
        socket.end(text),
      );
      socket.on("error", () => {});
      socket.resume();
      await new Promise((resolve) => socket.once("close", resolve));
    }
    const session = connectHttp2(process.url, { ca });
    const request = session.request({ ":method": "POST", ":path": path, ":authority": "[::bad" });
    request.on("error", () => {});
    request.resume();
    await new Promise((resolve) => request.once("close", resolve));
    session.destroy();
    const transport = createGrpcTransport({ baseUrl: process.url, nodeOptions: { ca } });
    assert.ok((await createClient(CertificateService, transport).getTrustBundle({})).bundle);
  });

  it("says whether it serves, and which services it has", async () => {
    const transport = createGrpcTransport({ baseUrl: process.url, nodeOptions: { ca } });
    const client = createClient(HealthService, transport) as unknown as {
      check(request: { service: string }): Promise<{ status: number }>;
    };
    assert.equal((await client.check({ service: "" })).status, 1);
    assert.equal((await client.check({ service: "cloudvlan.registry.v1.RegionService" })).status, 1);
    await assert.rejects(
      client.check({ service: "no.such" }),
      (error) => ConnectError.from(error).code === Code.NotFound,
    );
  });

  it("holds an address to its rate, and only that address", async () => {
    const connection = connectTo(process.url, { roots: await b.roots() });
    const regions = createClient(RegionService, connection);
    const codes = await Promise.all(
      Array.from({ length: 150 }, () =>
        regions.listRegions({}).catch((error: unknown) => ConnectError.from(error).code),
      ),
    );
    connection.close();
    assert.ok(codes.includes(Code.ResourceExhausted));
    assert.ok(codes.includes(Code.Unauthenticated));
    const elsewhere = createGrpcTransport({
      baseUrl: process.url,
      nodeOptions: { ca, localAddress: "127.0.0.2" } as object,
    });
    await createClient(CertificateService, elsewhere).getTrustBundle({});
  });

  it("closes the connection of whoever sends far more than its rate, to whatever path", async () => {
    const session = connectHttp2(process.url, { ca, localAddress: "127.0.0.6" } as object);
    let answered = 0;
    session.on("error", () => {});
    await new Promise((resolve) => session.once("connect", resolve));
    const closed = new Promise((resolve) => session.once("close", resolve));
    for (let sent = 0; sent < 2_000 && !session.destroyed; sent++) {
      await new Promise((resolve) => {
        const request = session.request({ ":path": "/nowhere" });
        request.once("response", () => (answered += 1));
        request.once("error", resolve).once("close", resolve);
        request.resume();
        request.end();
      });
    }
    await closed;
    assert.ok(answered <= 800, `${answered} were answered`);
  });

  it("holds an address to its number of connections", async () => {
    const sockets: TLSSocket[] = [];
    let closed = 0;
    for (let i = 0; i < 12; i++) {
      const socket = connectTls({ port: process.port, host: "127.0.0.1", localAddress: "127.0.0.3", ca } as object);
      socket.on("error", () => {});
      socket.once("close", () => (closed += 1));
      sockets.push(socket);
    }
    await until("four refusals", () => closed === 4);
    for (const socket of sockets) socket.destroy();
  }).timeout(30_000);
});

describe("watchers of the health of a process", () => {
  interface Watch {
    watch(request: object, options: { signal?: AbortSignal }): AsyncIterable<{ status: number }>;
  }

  it("are told when it ends, do not hold it up, and are not too many", async () => {
    const b = await bench();
    const process = await b.start([testAuth().definition]);
    const nodeOptions = { ca: pemOf(await b.roots()) };
    const transport = createGrpcTransport({ baseUrl: process.url, nodeOptions });
    const client = createClient(HealthService, transport) as unknown as Watch;
    const gone = new AbortController();
    let watching = 0;
    let refused = 0;
    async function follow(signal?: AbortSignal): Promise<number[]> {
      const seen: number[] = [];
      try {
        for await (const { status } of client.watch({}, signal ? { signal } : {})) {
          if (seen.push(status) === 1) watching += 1;
        }
      } catch (error) {
        if (ConnectError.from(error).code === Code.ResourceExhausted) refused += 1;
      }
      return seen;
    }
    const leaving = Array.from({ length: 70 }, () => follow(gone.signal));
    await until("all to be answered", () => watching + refused === 70);
    assert.equal(refused, 6);
    gone.abort();
    await Promise.all(leaving);
    let staying: Promise<number[]> | undefined;
    while (watching < 65) {
      const before = refused;
      staying = follow();
      await until("an answer", () => watching === 65 || refused > before);
    }
    const began = performance.now();
    await process.close();
    assert.deepEqual(await staying, [1, 2]);
    assert.ok(performance.now() - began < 5_000);
    await b.close();
  });
});

describe("a listener that many shake hands with", () => {
  it("closes what an address opens beyond its rate before it costs a handshake", async () => {
    const b = await bench();
    const process = await b.start([testAuth().definition], b.config({ limits: { handshakes_per_second: 3 } }));
    const ca = pemOf(await b.roots());
    const attempt = (localAddress: string): Promise<boolean> =>
      new Promise((resolve) => {
        const socket = connectTls({ port: process.port, host: "127.0.0.1", localAddress, ca } as object, () => {
          resolve(true);
          socket.destroy();
        });
        socket.once("error", () => resolve(false));
      });
    const greedy = await Promise.all(Array.from({ length: 12 }, () => attempt("127.0.0.4")));
    assert.equal(greedy.filter(Boolean).length, 6);
    assert.equal(await attempt("127.0.0.5"), true);
    await b.close();
  });
});

describe("a listener by itself", () => {
  let authority: TestAuthority;
  const clusterId = newId("cluster", Date.now());

  before(async () => {
    authority = await testAuthority();
  });

  async function identity(name = "localhost"): Promise<ListenerIdentity> {
    const key = newTlsKey();
    const spiffe = formatSpiffe({ trustDomain: clusterId, kind: "controller", host: "test" });
    const { chain } = await authority.sign(await createCsr(key), spiffe, [name], 3600);
    return { certificate: pemOf(chain), key, intermediates: [], roots: [authority.root.der] };
  }

  async function listener(
    options: { frames?: FrameRoute[]; respond?: (peer: Peer | undefined) => Promise<void> } = {},
  ) {
    const router = createConnectRouter();
    router.rpc(CertificateService.method.getTrustBundle, async (_request, { values }) => {
      await options.respond?.(values.get(peerKey));
      return {};
    });
    return startListener({
      address: "127.0.0.1",
      port: 0,
      identity: await identity(),
      handlers: router.handlers,
      frames: options.frames ?? [],
      limits: {
        connectionsPerAddress: 100,
        handshakesPerSecond: 100,
        requestsPerSecond: 1000,
        streamsPerConnection: 100,
      },
      log: silentLog,
    });
  }

  const connect = (port: number) => connectTo(`https://localhost:${port}`, { roots: [authority.root.der] });

  it("shows a renewed certificate to new connections and keeps the old ones", async () => {
    const server = await listener();
    const serialOf = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connectTls({ port: server.port, host: "127.0.0.1", rejectUnauthorized: false }, () => {
          resolve(socket.getPeerCertificate().serialNumber);
          socket.destroy();
        });
        socket.once("error", reject);
      });
    const connection = connect(server.port);
    const client = createClient(CertificateService, connection);
    await client.getTrustBundle({});
    const before = await serialOf();
    server.renew(await identity());
    assert.notEqual(await serialOf(), before);
    await client.getTrustBundle({});
    connection.close();
    await server.drain(0);
  });

  it("finishes what is in flight when it drains, and takes nothing new", async () => {
    const release = Promise.withResolvers<void>();
    let inside = false;
    const server = await listener({
      respond: () => {
        inside = true;
        return release.promise;
      },
    });
    const connection = connect(server.port);
    const answer = createClient(CertificateService, connection).getTrustBundle({});
    await until("the call", () => inside);
    const drained = server.drain(20_000);
    const late = connect(server.port);
    const refused = createClient(CertificateService, late).getTrustBundle({}, { timeoutMs: 500 });
    await assert.rejects(refused, (error) => ConnectError.from(error).code === Code.Unavailable);
    release.resolve();
    await answer;
    await drained;
  });

  it("resets a frame stream whose reader takes nothing", async () => {
    const route: FrameRoute = {
      stream: {
        method: NetmapService.method.watch,
        async *open() {
          for (;;) yield new Uint8Array(65_536);
        },
      },
      interceptors: [
        (next) => (request) => {
          request.contextValues.set(callerKey, {
            workload: { kind: "none" },
            authority: undefined,
            requestId: "",
            address: "",
          });
          return next(request);
        },
      ],
      gate: () => Promise.resolve(),
      log: silentLog,
      drainMs: 200,
    };
    const server = await listener({ frames: [route] });
    const session = connectHttp2(`https://localhost:${server.port}`, { ca: pemOf([authority.root.der]) });
    const request = session.request({
      ":method": "POST",
      ":path": "/cloudvlan.netmap.v1.NetmapService/Watch",
      "content-type": "application/grpc",
    });
    request.on("error", () => {});
    request.end(new Uint8Array(5));
    await new Promise((resolve) => request.once("close", resolve));
    const ENHANCE_YOUR_CALM = 11;
    assert.equal(request.rstCode, ENHANCE_YOUR_CALM);
    session.destroy();
    await server.drain(0);
  });
});
