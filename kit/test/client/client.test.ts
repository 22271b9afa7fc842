import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { AgentService } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { RegionService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { resilient } from "../../client/resilient.ts";
import { connectTo, fetchTrustBundle, unixTransport } from "../../client/index.ts";
import { Refusal, refusalFrom } from "../../errors/index.ts";
import { newId } from "../../ids/index.ts";
import { createCsr, formatSpiffe, newTlsKey, pemOf, type SpiffeId } from "../../pki/index.ts";
import { type Listener, startListener } from "../../server/index.ts";
import { createConnectRouter } from "@connectrpc/connect";
import { silentLog } from "../../testing/log.ts";
import { testAuthority, type TestAuthority } from "../service/authority.ts";

const reasonOf = (error: unknown): string | undefined =>
  (error instanceof Refusal ? error : refusalFrom(ConnectError.from(error)))?.reason;
const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash("sha256").update(bytes).digest());

describe("clients of the control plane", () => {
  const trustDomain = newId("cluster", Date.now());
  let authority: TestAuthority;
  const listeners: Listener[] = [];

  async function serve(spiffe: SpiffeId, names: string[]): Promise<string> {
    const router = createConnectRouter();
    router.rpc(CertificateService.method.getTrustBundle, () => ({ bundle: { roots: [authority.root.der] } }));
    const key = newTlsKey();
    const { chain } = await authority.sign(await createCsr(key), formatSpiffe(spiffe), names, 3600);
    const listener = await startListener({
      address: "127.0.0.1",
      port: 0,
      identity: { certificate: pemOf(chain), key, intermediates: [], roots: [authority.root.der] },
      handlers: router.handlers,
      frames: [],
      limits: {
        connectionsPerAddress: 100,
        handshakesPerSecond: 100,
        requestsPerSecond: 1000,
        streamsPerConnection: 10,
      },
      log: silentLog,
    });
    listeners.push(listener);
    return `https://localhost:${listener.port}`;
  }
  const ask = async (url: string, roots: readonly Uint8Array[]) => {
    const connection = connectTo(url, { roots });
    try {
      return await createClient(CertificateService, connection).getTrustBundle({}, { timeoutMs: 2000 });
    } finally {
      connection.close();
    }
  };
  const platform: SpiffeId = { trustDomain, kind: "controller", host: "x" };

  before(async () => {
    authority = await testAuthority();
  });
  after(async () => {
    for (const listener of listeners) await listener.drain(0);
  });

  it("trust the platform of their roots and nobody else", async () => {
    const url = await serve(platform, ["localhost"]);
    assert.equal((await ask(url, [authority.root.der])).bundle?.roots.length, 1);
    const stranger = await testAuthority();
    await assert.rejects(ask(url, [stranger.root.der]), (error) => reasonOf(error) === "SERVER_NOT_TRUSTED");
  });

  it("do not take a node for the platform, nor another host", async () => {
    const node: SpiffeId = {
      trustDomain,
      kind: "node",
      tenantId: newId("tenant", Date.now()),
      nodeId: newId("node", Date.now()),
    };
    const impostor = await serve(node, ["localhost"]);
    await assert.rejects(ask(impostor, [authority.root.der]), (error) => reasonOf(error) === "SERVER_NOT_TRUSTED");
    const elsewhere = await serve(platform, ["other.example"]);
    await assert.rejects(ask(elsewhere, [authority.root.der]), (error) => reasonOf(error) === "SERVER_NOT_TRUSTED");
  });

  it("fetch roots from whom they do not trust yet, and believe the known fingerprint alone", async () => {
    const url = await serve(platform, ["localhost"]);
    assert.deepEqual(await fetchTrustBundle(url, sha256(authority.root.der)), [authority.root.der]);
    await assert.rejects(fetchTrustBundle(url, sha256(Uint8Array.of(1))), (error) => reasonOf(error) === "CA_MISMATCH");
    await assert.rejects(fetchTrustBundle("http://localhost:1", sha256(Uint8Array.of(1))), TypeError);
  });

  it("say that nobody answers, within the deadline", async () => {
    await assert.rejects(ask("https://localhost:1", [authority.root.der]), (error) => {
      assert.equal(ConnectError.from(error).code, Code.Unavailable);
      assert.equal(reasonOf(error), "UNREACHABLE");
      return true;
    });
  });
});

describe("repetition", () => {
  function counting(code: Code, failures: number) {
    const calls = { list: 0, create: 0 };
    const transport = createRouterTransport((router) => {
      const fail = (count: number): void => {
        if (count <= failures) throw new ConnectError("not now", code);
      };
      router.service(RegionService, {
        listRegions: () => (fail(++calls.list), {}),
        createRegion: () => (fail(++calls.create), {}),
      });
    });
    return { calls, client: createClient(RegionService, resilient(transport, "test")) };
  }

  it("is for what is idempotent and unavailable", async () => {
    const { calls, client } = counting(Code.Unavailable, 2);
    await client.listRegions({});
    assert.equal(calls.list, 3);
    await assert.rejects(client.createRegion({ name: "eu-west" }));
    assert.equal(calls.create, 1);
  });

  it("is not for what was refused, and ends", async () => {
    const refused = counting(Code.PermissionDenied, 99);
    await assert.rejects(refused.client.listRegions({}));
    assert.equal(refused.calls.list, 1);
    const down = counting(Code.Unavailable, 99);
    await assert.rejects(down.client.listRegions({}));
    assert.equal(down.calls.list, 5);
  });

  it("ends with the caller's signal", async () => {
    const { client } = counting(Code.Unavailable, 99);
    const stop = new AbortController();
    const call = client.listRegions({}, { signal: stop.signal });
    stop.abort();
    await assert.rejects(call, (error) => ConnectError.from(error).code === Code.Canceled);
  });
});

describe("the client of a unix socket", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "cvlan-unix-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it("speaks to what listens there, and says when nothing does", async () => {
    const path = join(folder, "agent.sock");
    const connection = unixTransport(path);
    const client = createClient(AgentService, connection);
    await assert.rejects(client.join({}, { timeoutMs: 300 }), (error) => {
      assert.equal(ConnectError.from(error).code, Code.Unavailable);
      assert.match(ConnectError.from(error).rawMessage, /agent\.sock cannot be reached \(ENOENT\)/);
      return true;
    });
    const server = createServer(
      connectNodeAdapter({ routes: (router) => void router.service(AgentService, { getStatus: () => ({}) }) }),
    );
    await new Promise<void>((resolve) => server.listen(path, resolve));
    assert.ok(await client.getStatus({}));
    connection.close();
    await new Promise((resolve) => server.close(resolve));
  });
});
