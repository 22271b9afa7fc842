import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { createConnectRouter } from "@connectrpc/connect";
import { CertificateService } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { type Check, CheckVerdict } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { connectTo } from "../../client/index.ts";
import { checkController } from "../../diagnose/index.ts";
import { newId } from "../../ids/index.ts";
import { createCsr, formatSpiffe, newTlsKey, pemOf, type SpiffeId } from "../../pki/index.ts";
import { type Listener, type ListenerIdentity, startListener } from "../../server/index.ts";
import { silentLog } from "../../testing/log.ts";
import { testAuthority, type TestAuthority } from "../service/authority.ts";
import { createClient } from "@connectrpc/connect";

const HOUR_MS = 3_600_000;
const { OK, WARN, FAIL, SKIPPED } = CheckVerdict;

describe("a look at the controller", () => {
  const trustDomain = newId("cluster", Date.now());
  const platform: SpiffeId = { trustDomain, kind: "controller", host: "x" };
  let authority: TestAuthority;
  let url: string;
  const listeners: Listener[] = [];

  async function serve(identity: Pick<ListenerIdentity, "certificate" | "key">): Promise<string> {
    const router = createConnectRouter();
    router.rpc(CertificateService.method.getTrustBundle, () => ({ bundle: { roots: [authority.root.der] } }));
    const listener = await startListener({
      address: "127.0.0.1",
      port: 0,
      identity: { ...identity, intermediates: [], roots: [authority.root.der] },
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

  before(async () => {
    authority = await testAuthority();
    const key = newTlsKey();
    const { chain } = await authority.sign(await createCsr(key), formatSpiffe(platform), ["localhost"], 3600);
    url = await serve({ certificate: pemOf(chain), key });
  });
  after(async () => {
    for (const listener of listeners) await listener.drain(0);
  });

  async function look(at: string, roots: readonly Uint8Array[] = [authority.root.der], shiftMs = 0) {
    const checks = await checkController(at, roots, () => Date.now() + shiftMs);
    const named = (name: string): Check => {
      const found = checks.find((check) => check.name === name);
      assert.ok(found, name);
      return found;
    };
    return { verdicts: checks.map(({ verdict }) => verdict), named };
  }

  it("finds name, TCP, TLS, HTTP/2, CA and clock as they should be", async () => {
    const { verdicts, named } = await look(url);
    assert.deepEqual(verdicts, [OK, OK, OK]);
    assert.match(named("reachability").found, /localhost is .*, TCP to .* port \d+, TLSv1\.3, HTTP\/2$/);
    assert.match(named("ca").found, /pinned root [0-9a-f]{64}$/);
  });

  it("tells a clock that is minutes or hours off", async () => {
    const behind = await look(url, undefined, -3 * HOUR_MS);
    assert.equal(behind.named("clock").verdict, FAIL);
    assert.match(behind.named("clock").found, /clock is 3 h behind the controller's clock/);
    assert.match(behind.named("clock").remedy, /NTP/);
    const ahead = await look(url, undefined, 120_000);
    assert.equal(ahead.named("clock").verdict, WARN);
    assert.match(ahead.named("clock").found, /ahead of the controller's clock/);
  });

  it("tells another CA from the pinned one, by fingerprint, and trusts no clock by it", async () => {
    const stranger = await testAuthority();
    const { named } = await look(url, [stranger.root.der]);
    assert.match(named("reachability").found, /; tls failed: /);
    assert.equal(named("reachability").verdict, FAIL);
    assert.equal(named("ca").verdict, FAIL);
    assert.match(named("ca").found, /serves [0-9a-f]{64}; pinned is [0-9a-f]{64}/);
    assert.match(named("clock").found, /who is not trusted/);
  });

  it("does not take a node's certificate for the platform's", async () => {
    const node: SpiffeId = {
      trustDomain,
      kind: "node",
      tenantId: newId("tenant", Date.now()),
      nodeId: newId("node", Date.now()),
    };
    const key = newTlsKey();
    const { chain } = await authority.sign(await createCsr(key), formatSpiffe(node), ["localhost"], 3600);
    const { named } = await look(await serve({ certificate: pemOf(chain), key }));
    assert.match(named("reachability").found, /tls failed: SERVER_NOT_TRUSTED/);
  });

  it("names a certificate that is not valid by this machine's clock, and so does every call", async () => {
    const notBefore = new Date(Date.now() + 5 * HOUR_MS);
    const { certificate, key } = await authority.issue(platform, {
      notBefore,
      notAfter: new Date(notBefore.getTime() + HOUR_MS),
    });
    const early = await serve({ certificate: pemOf(certificate), key });
    const { named } = await look(early);
    assert.match(named("reachability").found, /tls failed: CERT_NOT_YET_VALID/);
    assert.match(named("reachability").remedy, /clock/);
    const connection = connectTo(early, { roots: [authority.root.der] });
    await assert.rejects(
      createClient(CertificateService, connection).getTrustBundle({}),
      /not valid yet, by this machine's clock/,
    );
    connection.close();
  });

  it("names the step that fails", async () => {
    const mute = createServer((socket) => socket.resume().end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
    const { port } = mute.address() as AddressInfo;
    const plain = await look(`https://127.0.0.1:${port}`);
    assert.match(plain.named("reachability").found, /TCP to 127\.0\.0\.1 port \d+; tls failed/);
    await new Promise((resolve) => mute.close(resolve));
    const closed = await look(`https://127.0.0.1:${port}`);
    assert.match(closed.named("reachability").found, /tcp failed: ECONNREFUSED/);
    assert.deepEqual(closed.verdicts, [FAIL, SKIPPED, SKIPPED]);
    const nameless = await look("https://nobody.invalid:443");
    assert.match(nameless.named("reachability").found, /name failed/);
  });
});
