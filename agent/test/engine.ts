import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdir, rm } from "node:fs/promises";
import { createServer, type ServerHttp2Session } from "node:http2";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  type ApplyRequest,
  EngineService,
  type EngineStatus,
  EngineStatusSchema,
} from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { cell } from "../state/cell.ts";

/** Stands in for cvlan-engine where a test must choose what the engine says; the real one is met in test/e2e. */
export interface TestEngine extends AsyncDisposable {
  readonly instanceId: string;
  readonly applied: ApplyRequest[];
  status(): EngineStatus;
  set(change: MessageInitShape<typeof EngineStatusSchema>): void;
}

/**
 * Serves EngineService on `<folder>/engine.sock`, as a build and as the one that follows another instance. A head of `BAD`
 * is a bad signature; a step that does not fit, a gap.
 */
export async function testEngine(
  folder: string,
  { build = "", former }: { build?: string; former?: string | undefined } = {},
): Promise<TestEngine> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const socket = join(folder, "engine.sock");
  await rm(socket, { force: true });
  const instanceId = randomUUID();
  const applied: ApplyRequest[] = [];
  const status = cell(
    create(EngineStatusSchema, {
      instanceId,
      ...(former !== undefined && { takeover: { formerInstanceId: former, sessions: 3 } }),
    }),
  );
  const set = (change: MessageInitShape<typeof EngineStatusSchema>) => {
    const { $typeName: _type, $unknown: _unknown, ...before } = status.get();
    status.set(create(EngineStatusSchema, { ...before, ...change } as MessageInitShape<typeof EngineStatusSchema>));
  };

  const told = (withoutPeers: boolean): EngineStatus => {
    const value = status.get();
    return withoutPeers ? { ...value, peers: [] } : value;
  };

  const server = createServer(connectNodeAdapter({ routes: (router) => serve(router) }));
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  server.listen(socket);
  await once(server, "listening");

  function serve(router: ConnectRouter): void {
    router.service(EngineService, {
      getIdentity: () => ({
        instanceId,
        wireguardPublicKey: new Uint8Array(32).fill(1),
        controlPublicKey: new Uint8Array(32).fill(2),
        version: "test",
        capabilityVersion: 1,
        build,
      }),
      prove: ({ transcript }) => ({ wireguardProof: transcript, controlProof: transcript }),
      getStatus: ({ withoutPeers }) => ({ status: told(withoutPeers) }),
      apply: (request) => {
        apply(request);
        return { generation: request.generation, map: status.get().map ?? {} };
      },
      async *watch({ withoutPeers }, { signal }) {
        yield { item: { case: "opened", value: { instanceId, generation: status.get().generation } } };
        for await (const _ of status.values(signal)) {
          yield { item: { case: "status", value: told(withoutPeers) } };
        }
      },
      explain: ({ packet }) => ({
        forwarded: packet?.destinationPort !== 23,
        hops: [{ name: "filter", ok: packet?.destinationPort !== 23, detail: "rule web", remedy: "ask for a rule" }],
      }),
      async *ping({ count }) {
        for (let sequence = 1; sequence <= (count || 4); sequence += 1) yield { sequence, rttUs: 1_500n };
      },
      shutdown: () => ({}),
    });
  }

  function apply(request: ApplyRequest): void {
    if (request.generation <= status.get().generation) {
      throw new Refusal("conflict", "OLD_GENERATION", "the generation does not grow").toConnectError();
    }
    let revision = status.get().map?.revision ?? 0n;
    for (const [index, update] of request.updates.entries()) {
      if (Buffer.from(update.head).toString() === "BAD") {
        throw new Refusal("invalid", "BAD_SIGNATURE", "BAD_SIGNATURE: the head is not signed").toConnectError();
      }
      if (index === 0 && !update.full && update.previous !== revision) {
        throw new Refusal("conflict", "GAP", `GAP: the step continues from ${update.previous}`).toConnectError();
      }
      revision = update.revision;
    }
    applied.push(request);
    set({
      generation: request.generation,
      ...(request.updates.length > 0 && { map: { epoch: 1n, revision } }),
      ...(request.settings?.membership && {
        membership: request.settings.membership,
        interfaceName: request.settings.interfaceName,
        listenPort: request.settings.listenPort || 40_000,
        mtu: request.settings.mtu || 1_420,
      }),
    });
  }

  return {
    instanceId,
    applied,
    status: () => status.get(),
    set,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
