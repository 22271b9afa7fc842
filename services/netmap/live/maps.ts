import { outsideScope } from "@cloudvlan/kit/caller";
import { Refusal } from "@cloudvlan/kit/errors";
import type { TenantId } from "@cloudvlan/kit/ids";
import { METRICS, observe } from "@cloudvlan/kit/telemetry";
import { REPORTS } from "../endpoint-store.ts";
import type { Scope } from "../domain/scope.ts";
import { REVISIONS } from "../store.ts";
import type { NetmapContext } from "./context.ts";
import { CvlanMap } from "./cvlan-map.ts";
import { heads } from "./heads.ts";
import { projectNodes, projectPolicy } from "./project.ts";
import { follow } from "./retry.ts";

/** A map in use; disposed of when the stream ends. */
export interface MapLease extends Disposable {
  readonly map: CvlanMap;
}

/** The maps that this worker has streams on. A map is followed from its first stream until it was idle for a while. */
export interface Maps {
  /** @throws Refusal `unavailable` when the map cannot be read now. */
  open(scope: Scope): Promise<MapLease>;
  /** Keeps the maps up to date until the signal aborts; then stops them. */
  run(signal: AbortSignal): Promise<void>;
}

interface Held {
  readonly ready: Promise<CvlanMap>;
  readonly stop: AbortController;
  /** Once it is ready. */
  map: CvlanMap | undefined;
  streams: number;
  idle: NodeJS.Timeout | undefined;
}

/** How long the first stream waits for what the sources have to say, milliseconds. */
const FIRST_BATCHES_MS = 3_000;

/** Workers are woken by notifications; this often they look without, milliseconds. */
const LOOK_MS = 5_000;

export function openMaps(context: NetmapContext): Maps {
  const held = new Map<string, Held>();

  function stop(key: string, entry: Held): void {
    clearTimeout(entry.idle);
    entry.stop.abort();
    if (held.get(key) === entry) held.delete(key);
  }

  /** Nobody is served any more: the streams are cut already. */
  function stopAllOf(tenantId: TenantId): void {
    for (const [key, entry] of held) if (key.startsWith(`${tenantId} `)) stop(key, entry);
  }

  function release(key: string, entry: Held): void {
    entry.streams--;
    if (entry.streams > 0) return;
    entry.idle = setTimeout(() => stop(key, entry), context.config.idle_seconds * 1000);
    entry.idle.unref();
  }

  function hold(key: string, scope: Scope): Held {
    const known = held.get(key);
    if (known) return known;
    const stopping = new AbortController();
    // The map outlives the request that happened to be its first.
    const ready = outsideScope(() => start(context, scope, stopping.signal));
    const entry: Held = { ready, stop: stopping, map: undefined, streams: 0, idle: undefined };
    held.set(key, entry);
    ready.then(
      (map) => (entry.map = map),
      () => {
        // Whoever opens the map is told.
      },
    );
    return entry;
  }

  async function open(scope: Scope): Promise<MapLease> {
    const key = keyOf(scope);
    const entry = hold(key, scope);
    clearTimeout(entry.idle);
    entry.streams++;
    try {
      return { map: await entry.ready, [Symbol.dispose]: () => release(key, entry) };
    } catch (error) {
      stop(key, entry);
      context.log.warn({ ...scope, error: String(error) }, "a map cannot be read");
      throw new Refusal("unavailable", "MAP_NOT_READY", "the map of the cvlan cannot be read now", {
        remedy: "try again in a few seconds",
      });
    }
  }

  /** Has the maps that a notification names, or all of them, look for what is new. */
  async function look(payload: string | undefined, what: (map: CvlanMap) => Promise<void>): Promise<void> {
    const named = payload === undefined ? undefined : held.get(payload);
    const entries = payload === undefined ? [...held.values()] : named ? [named] : [];
    await Promise.all(
      entries.map(async ({ ready, stop: stopping }) => {
        try {
          await what(await ready);
        } catch (error) {
          // The tenant was deleted; registry ends its maps.
          const isGone = error instanceof Refusal && error.reason === "TENANT_NOT_FOUND";
          if (!stopping.signal.aborted && !isGone)
            context.log.warn({ error: String(error) }, "a map could not be brought up to date; it is tried again");
        }
      }),
    );
  }

  function showFigures(): Disposable {
    const figures = () => [...held.values()].flatMap(({ map }) => map?.figures ?? []);
    const sum = (read: (figure: CvlanMap["figures"]) => number) => () => [
      { value: figures().reduce((total, figure) => total + read(figure), 0), labels: {} },
    ];
    const shown = new DisposableStack();
    shown.use(observe(METRICS.maps, () => [{ value: held.size, labels: {} }]));
    shown.use(
      observe(
        METRICS.mapsBehind,
        sum(({ behindMs }) => (behindMs > 0 ? 1 : 0)),
      ),
    );
    shown.use(
      observe(
        METRICS.mapNodes,
        sum(({ nodes }) => nodes),
      ),
    );
    shown.use(
      observe(
        METRICS.mapViewers,
        sum(({ viewers }) => viewers),
      ),
    );
    const lag = () => Math.max(0, ...figures().map(({ behindMs }) => behindMs)) / 1000;
    shown.use(observe(METRICS.mapLag, () => [{ value: lag(), labels: {} }]));
    return shown;
  }

  async function run(signal: AbortSignal): Promise<void> {
    using _shown = showFigures();
    context.keysets.onChange((tenantId) => {
      void look(undefined, async (map) => {
        if (map.scope.tenantId === tenantId) await map.catchUp();
      });
    });
    context.standings.onChange((changed) => {
      if (context.standings.of(changed)?.deleted) stopAllOf(changed);
      void look(undefined, async (map) => {
        if (map.scope.tenantId !== changed) return;
        map.wakeAll();
        await map.settleStanding();
      });
    });
    await using _revisions = await context.db.listen(
      REVISIONS,
      (payload) => void look(payload, (map) => map.catchUp()),
    );
    await using _reports = await context.db.listen(REPORTS, (payload) => void look(payload, (map) => map.readHints()));
    const timer = setInterval(() => {
      void look(undefined, async (map) => {
        await map.settleStanding();
        await map.catchUp();
      });
    }, LOOK_MS);
    try {
      await context.keysets.run(signal);
    } finally {
      clearInterval(timer);
      for (const [key, entry] of held) stop(key, entry);
    }
  }

  return { open, run };
}

function keyOf({ tenantId, cvlanId }: Scope): string {
  return `${tenantId} ${cvlanId}`;
}

async function start(context: NetmapContext, scope: Scope, signal: AbortSignal): Promise<CvlanMap> {
  let rereading = new AbortController();
  const map = new CvlanMap(context, scope, heads(context.config, context.clock, scope), () => {
    rereading.abort();
    rereading = new AbortController();
  });
  await map.load();
  await map.settleStanding();
  const nodes = Promise.withResolvers<void>();
  const rules = Promise.withResolvers<void>();
  void follow(context.log, `following the nodes of ${scope.cvlanId}`, signal, () =>
    projectNodes(context, scope, () => nodes.resolve(), signal),
  );
  void follow(context.log, `following the policy of ${scope.cvlanId}`, signal, () =>
    projectPolicy(context, scope, () => rules.resolve(), AbortSignal.any([signal, rereading.signal])),
  );
  const patience = Promise.withResolvers<void>();
  const timer = setTimeout(patience.resolve, FIRST_BATCHES_MS);
  await Promise.race([Promise.all([nodes.promise, rules.promise]), patience.promise]);
  clearTimeout(timer);
  await map.catchUp();
  return map;
}
