import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { fromBinary, toBinary, create } from "@bufbuild/protobuf";
import { GetTenantRequestSchema, GetTenantResponseSchema, TenantService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import {
  NetmapService,
  PollRequestSchema,
  PollResponseSchema,
  WatchRequestSchema,
  WatchResponseSchema,
} from "@cloudvlan/gen/netmap/v1/netmap_pb.js";
import { RegionService } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { pathOf } from "@cloudvlan/kit/access";
import { pemOf } from "@cloudvlan/kit/pki";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { Client as GrpcClient, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { type Installation, newInstallation } from "./installation.ts";
import type { Member } from "./member.ts";
import { refusalOf } from "./outcome.ts";
import { envelope, openSession, type RawAnswer, send } from "./wire.ts";
import { newSide, type Side } from "./world.ts";

const GET_TENANT = pathOf(TenantService.method.getTenant);

describe("protocols", function () {
  this.timeout(120_000);
  let installation: Installation;
  let side: Side;
  let member: Member;

  before(async () => {
    installation = await newInstallation({ kind: "postgres" });
    side = await newSide(installation, "alice");
    member = await side.newMember();
  });
  after(() => installation.close());

  const withKey = (apiKey: string) => ({ authorization: `Bearer ${apiKey}` });
  /** One request on a connection of its own. */
  async function post(headers: Record<string, string>, body: Uint8Array): Promise<RawAnswer> {
    const session = openSession(installation);
    try {
      return await send(session, { ":path": GET_TENANT, ...withKey(side.admin), ...headers }, body);
    } finally {
      session.destroy();
    }
  }
  const request = () => toBinary(GetTenantRequestSchema, create(GetTenantRequestSchema, { tenantId: side.tenantId }));
  async function assertServes(): Promise<void> {
    const answer = await post({ "content-type": "application/proto" }, request());
    assert.equal(answer.status, 200);
    assert.equal(fromBinary(GetTenantResponseSchema, answer.body).tenant?.name, side.tenantName);
  }

  describe("that are served", () => {
    it("Connect with JSON", async () => {
      const body = JSON.stringify({ tenantId: side.tenantId });
      const answer = await post({ "content-type": "application/json" }, Buffer.from(body));
      assert.equal(answer.status, 200);
      const { tenant } = JSON.parse(answer.body.toString()) as { tenant: { name: string } };
      assert.equal(tenant.name, side.tenantName);
    });
    it("Connect with JSON, a refusal with code, reason and remedy", async () => {
      const body = JSON.stringify({ tenantId: "tenant_" });
      const answer = await post({ "content-type": "application/json" }, Buffer.from(body));
      assert.equal(answer.status, 400);
      const told = JSON.parse(answer.body.toString()) as { code: string; details: { debug?: unknown; type: string }[] };
      assert.equal(told.code, "invalid_argument");
      assert.deepEqual(
        told.details.map(({ type }) => type),
        ["cloudvlan.entity.v1.ErrorDetail"],
      );
    });
    it("Connect over HTTP/1.1 and HTTP/2", async () => {
      for (const httpVersion of ["1.1", "2"] as const) {
        const transport = createConnectTransport({
          httpVersion,
          baseUrl: installation.url,
          nodeOptions: { ca: pemOf(installation.roots) },
        });
        const headers = withKey(side.admin);
        const { tenant } = await createClient(TenantService, transport).getTenant(
          { tenantId: side.tenantId },
          { headers },
        );
        assert.equal(tenant?.name, side.tenantName);
      }
    });
    it("gRPC-Web over HTTP/1.1 and HTTP/2", async () => {
      for (const httpVersion of ["1.1", "2"] as const) {
        const transport = createGrpcWebTransport({
          httpVersion,
          baseUrl: installation.url,
          nodeOptions: { ca: pemOf(installation.roots) },
        });
        const tenants = createClient(TenantService, transport);
        const { tenant } = await tenants.getTenant({ tenantId: side.tenantId }, { headers: withKey(side.admin) });
        assert.equal(tenant?.name, side.tenantName);
        const told = await refusalOf(tenants.getTenant({ tenantId: side.tenantId }));
        assert.deepEqual([told.code, told.reason], ["Unauthenticated", "CREDENTIAL_MISSING"]);
      }
    });

    describe("another implementation's gRPC, with the node's certificate", () => {
      let client: GrpcClient;
      before(() => {
        const { certificate, key } = member.credential;
        const secure = credentials.createSsl(
          Buffer.from(pemOf(installation.roots)),
          Buffer.from(key),
          Buffer.from(pemOf(certificate)),
        );
        client = new GrpcClient(`127.0.0.1:${installation.port}`, secure);
      });
      after(() => client.close());
      const plain = (bytes: Buffer) => bytes;

      function unary(path: string, body: Uint8Array): Promise<Buffer> {
        const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
        client.makeUnaryRequest(path, plain, plain, Buffer.from(body), new Metadata(), {}, (error, answer) => {
          if (error) reject(error);
          else if (answer) resolve(answer);
          else reject(new Error("neither an answer nor an error"));
        });
        return promise;
      }

      it("a unary call", async () => {
        const answer = await unary(
          pathOf(NetmapService.method.poll),
          toBinary(PollRequestSchema, create(PollRequestSchema)),
        );
        assert.equal(fromBinary(PollResponseSchema, answer).updates[0]?.full, true);
      });
      it("the map stream", async () => {
        const body = Buffer.from(toBinary(WatchRequestSchema, create(WatchRequestSchema)));
        const stream = client.makeServerStreamRequest(pathOf(NetmapService.method.watch), plain, plain, body);
        const revisions: bigint[] = [];
        for await (const bytes of stream) {
          revisions.push(fromBinary(WatchResponseSchema, bytes as Buffer).update?.revision ?? 0n);
          if (revisions.length === 3) break;
        }
        stream.cancel();
        assert.ok(revisions.every((revision) => revision > 0n));
      });
      it("a refusal", async () => {
        await assert.rejects(
          unary(pathOf(RegionService.method.listRegions), new Uint8Array()),
          ({ code, details }: ServiceError) => code === 7 && details.includes("may not call"),
        );
      });
    });
  });

  describe("what is no request", () => {
    it("malformed protobuf", async () => {
      const answer = await post({ "content-type": "application/proto" }, Buffer.from([0xff, 0xff, 0xff]));
      // Connect's own code for it; no interceptor sees a message that cannot be read.
      assert.equal(answer.status, 500);
      assert.match(answer.body.toString(), /"code":"internal","message":"parse binary/);
      await assertServes();
    });
    it("malformed JSON, and JSON with a field that nobody knows", async () => {
      for (const body of [
        '{"tenantId":',
        '{"tenantId":1}',
        '{"tenant":"x"}',
        "[]",
        '{"tenantId":"x","tenant_id":"y"}',
      ]) {
        const answer = await post({ "content-type": "application/json" }, Buffer.from(body));
        assert.equal(answer.status, 400, body);
      }
      await assertServes();
    });
    it("JSON nested a hundred thousand deep", async () => {
      const body = "[".repeat(100_000);
      const answer = await post({ "content-type": "application/json" }, Buffer.from(body));
      assert.equal(answer.status, 400);
      await assertServes();
    });
    it("another content type", async () => {
      for (const type of ["text/html", "application/xml", "application/grpc+thrift", ""]) {
        assert.equal((await post({ "content-type": type }, request())).status, 415, type);
      }
    });
    it("another method", async () => {
      const session = openSession(installation);
      for (const method of ["PUT", "DELETE", "OPTIONS"]) {
        const { status } = await send(session, { ":method": method, ":path": GET_TENANT, ...withKey(side.admin) });
        assert.equal(status, 405, method);
      }
      session.destroy();
    });
    it("an unknown path", async () => {
      const session = openSession(installation);
      for (const path of ["/", "/metrics", `${GET_TENANT}/`, "/cloudvlan.auth.v1.TenantService/Nothing", "/%2e%2e/"]) {
        const headers = { ":path": path, "content-type": "application/proto", ...withKey(side.admin) };
        assert.equal((await send(session, headers, request())).status, 404, path);
      }
      session.destroy();
    });
    it("a body that is longer inflated than allowed", async () => {
      const bomb = gzipSync(Buffer.alloc(128 * 1024 * 1024));
      assert.ok(bomb.length < 1_048_576);
      const before = process.memoryUsage.rss();
      const connect = await post({ "content-type": "application/proto", "content-encoding": "gzip" }, bomb);
      assert.equal(connect.status, 429);
      const grpc = await post({ "content-type": "application/grpc", "grpc-encoding": "gzip" }, envelope(bomb, 1));
      assert.equal(grpc.trailers["grpc-status"] ?? grpc.headers["grpc-status"], "8");
      assert.ok(process.memoryUsage.rss() - before < 100 * 1024 * 1024, "the bomb went off");
      await assertServes();
    });
    it("a body that says it is compressed and is not", async () => {
      const answer = await post({ "content-type": "application/proto", "content-encoding": "gzip" }, request());
      assert.equal(answer.status, 400);
      const other = await post({ "content-type": "application/proto", "content-encoding": "br" }, request());
      assert.equal(other.status, 501);
    });
    it("an envelope that promises more than comes, or more than is allowed", async () => {
      const short = envelope(request()).subarray(0, -1);
      const long = Buffer.from([0, 0xff, 0xff, 0xff, 0xff]);
      for (const body of [short, long, Buffer.alloc(3)]) {
        const { headers, trailers } = await post({ "content-type": "application/grpc" }, body);
        assert.match(String(trailers["grpc-status"] ?? headers["grpc-status"]), /^(3|8)$/);
      }
      await assertServes();
    });
    it("none of these was logged as an error of ours", () => {
      assert.deepEqual(
        installation.lines.filter(({ level }) => level === "error"),
        [],
      );
    });
  });
});
