import { type Client, createClient } from "@connectrpc/connect";
import {
  EngineService,
  type GetIdentityResponse,
  type MapState,
  type Settings,
} from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { MapUpdate } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { tracedInside } from "@cloudvlan/kit/telemetry";
import type { EngineTransport } from "./transport.ts";

export type EngineClient = Client<typeof EngineService>;

/** One running instance of the engine. */
export interface RunningEngine {
  readonly identity: GetIdentityResponse;
  readonly client: EngineClient;
  /** Declares settings, a map step, or both. Calls are made one after another, each with a greater generation. */
  apply(wanted: { settings?: Settings; updates?: MapUpdate[] }): Promise<MapState | undefined>;
  /** Resolves when no call of `apply` is under way. */
  settled(): Promise<void>;
}

/** Milliseconds for one Apply; a full map of 20,000 records takes the engine seconds to verify on a small machine. */
const APPLY_TIMEOUT_MS = 60_000;

/** Asks the engine who it is; it makes its keys when it has none. */
export async function reachEngine(
  transport: EngineTransport,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<RunningEngine> {
  const client = createClient(EngineService, tracedInside(transport));
  const identity = await client.getIdentity({}, { signal, timeoutMs });
  let tail: Promise<unknown> = Promise.resolve();

  return {
    identity,
    client,
    apply({ settings, updates = [] }) {
      const turn = tail.then(async () => {
        const { status } = await client.getStatus({ withoutPeers: true }, { signal });
        const generation = (status?.generation ?? 0n) + 1n;
        const request = { generation, updates, ...(settings && { settings }) };
        const response = await client.apply(request, { signal, timeoutMs: APPLY_TIMEOUT_MS });
        return response.map;
      });
      tail = turn.catch(() => undefined);
      return turn;
    },
    settled: async () => void (await tail),
  };
}
