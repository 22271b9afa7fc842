import assert from "node:assert/strict";
import { PolicyAction, PolicyProtocol } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import type { RuleRecord, RuleSelector } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import fc from "fast-check";
import { deltaOf, fullMap, replay } from "../domain/delta.ts";
import type { Entry, NodeEntry, RuleEntry } from "../domain/entry.ts";
import { type EntryChange, takeStep } from "../domain/step.ts";
import { Visibility } from "../domain/visibility.ts";
import { any, nodeRecord, ruleRecord, tagged, theNode, unsignedNode, unsignedRule, within } from "./records.ts";

const NODES = 6;
const TAGS = ["a", "b", "c"];
const PREFIXES = [
  "10.0.0.0/30",
  "10.0.0.2/32",
  "10.0.1.0/29",
  "10.0.1.4/30",
  "fd00::/126",
  "fd00::1/128",
  "10.0.0.0/8",
];
const nodeId = (n: number) => `node_${n}`;

const selector: fc.Arbitrary<RuleSelector> = fc.oneof(
  fc.constant(any()),
  fc.constantFrom(...TAGS).map(tagged),
  fc.nat(NODES - 1).map((n) => theNode(nodeId(n))),
  fc.constantFrom(...PREFIXES).map(within),
);

const node = fc
  .record({
    n: fc.nat(NODES - 1),
    tags: fc.subarray(TAGS),
    routes: fc.subarray(["10.0.1.0/30", "10.0.1.4/31", "10.0.1.0/29"]),
    revision: fc.bigInt(1n, 1000n),
  })
  .map(({ n, tags, routes, revision }) =>
    unsignedNode(
      nodeRecord({ nodeId: nodeId(n), addresses: [`10.0.0.${n}/32`, `fd00::${n}/128`], tags, routes, revision }),
    ),
  );

const rule = fc
  .record({
    name: fc.constantFrom("p", "q", "r", "s", "t"),
    deny: fc.boolean(),
    sources: fc.array(selector, { minLength: 1, maxLength: 3 }),
    destinations: fc.array(selector, { minLength: 1, maxLength: 3 }),
    protocol: fc.constantFrom(PolicyProtocol.ANY, PolicyProtocol.TCP, PolicyProtocol.UDP, PolicyProtocol.ICMP),
    range: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 0, max: 3 })),
    version: fc.bigInt(1n, 1000n),
  })
  .map(({ range: [first, more], ...init }) => {
    const hasPorts = init.protocol === PolicyProtocol.TCP || init.protocol === PolicyProtocol.UDP;
    return unsignedRule(ruleRecord({ ...init, ports: hasPorts && more < 3 ? [{ first, last: first + more }] : [] }));
  });

interface Move {
  readonly entries: Entry[];
  readonly remove: boolean;
  /** Viewers that are brought up to date after the step; the others lag. */
  readonly flush: number[];
}

const move: fc.Arbitrary<Move> = fc.record({
  entries: fc.oneof(
    fc.uniqueArray<Entry, string>(node, { selector: ({ id }) => id, minLength: 1, maxLength: 3 }),
    fc.uniqueArray<Entry, string>(rule, { selector: ({ id }) => id, minLength: 1, maxLength: 3 }),
  ),
  remove: fc.boolean(),
  flush: fc.subarray([0, 1, 2, 3, 4, 5]),
});

type Model = Map<string, Entry>;

describe("visibility", () => {
  it("increments give each viewer exactly what a map from scratch gives, however it lags", () => {
    fc.assert(
      fc.property(fc.array(move, { minLength: 1, maxLength: 12 }), (moves) => {
        const visibility = new Visibility();
        const state: Model = new Map();
        const views = new Map<string, { held: Model; notes: Map<string, Entry | undefined> }>();
        for (const { entries, remove, flush } of moves) {
          takeStep(
            visibility,
            step(state, entries, remove),
            (id) => views.has(id),
            (viewer, objectId, held) => {
              const notes = views.get(viewer)?.notes;
              if (notes && !notes.has(objectId)) notes.set(objectId, held);
            },
          );
          for (const n of flush) {
            const viewer = visibility.node(nodeId(n));
            const view = views.get(nodeId(n));
            if (!viewer) {
              views.delete(nodeId(n));
              continue;
            }
            if (!view) {
              views.set(viewer.id, { held: asModel(fullMap(visibility, viewer)), notes: new Map() });
            } else {
              const delta = deltaOf(visibility, viewer, view.notes);
              for (const id of [...delta.removedNodes, ...delta.removedRules])
                assert(view.held.delete(id), `${id} was not held`);
              for (const entry of [...delta.nodes, ...delta.rules]) {
                assert.notEqual(view.held.get(entry.id)?.bytes, entry.bytes, "sent again what is held");
                view.held.set(entry.id, entry);
              }
              view.notes.clear();
            }
            assert.deepEqual(ids(views.get(viewer.id)?.held), ids(reference(state, viewer)));
          }
        }
      }),
      { numRuns: 400 },
    );
  });

  it("a replay from any earlier point gives the same, or says that a full map is needed", () => {
    let exact = 0;
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 5 }), fc.array(move, { minLength: 2, maxLength: 8 }), (rules, moves) => {
        const visibility = new Visibility();
        const state: Model = new Map();
        takeStep(
          visibility,
          step(state, uniqueById(rules), false),
          () => false,
          () => {},
        );
        const ring: EntryChange[][] = [];
        const past: Map<string, Model>[] = [];
        for (const { entries, remove } of moves) {
          past.push(new Map(nodesIn(state).map((viewer) => [viewer.id, reference(state, viewer)])));
          const changes = step(state, entries, remove);
          ring.push(changes);
          takeStep(
            visibility,
            changes,
            () => false,
            () => {},
          );
        }
        for (const viewer of nodesIn(state)) {
          for (const [position, models] of past.entries()) {
            const held = models.get(viewer.id);
            if (!held) continue;
            const notes = replay(visibility, viewer, ring.slice(position).flat());
            if (!notes) continue;
            exact++;
            const delta = deltaOf(visibility, viewer, notes);
            for (const id of [...delta.removedNodes, ...delta.removedRules])
              assert(held.delete(id), `${id} was not held`);
            for (const entry of [...delta.nodes, ...delta.rules]) held.set(entry.id, entry);
            assert.deepEqual(ids(held), ids(reference(state, viewer)));
          }
        }
      }),
      { numRuns: 200 },
    );
    assert(exact > 100, "hardly any replay was exact: the test says nothing");
  });

  it("a change looks at those it concerns and at nobody else", () => {
    const visibility = new Visibility();
    const touched = new Set<string>();
    const groups = 200;
    const members = 20;
    for (let n = 0; n < groups * members; n++) {
      const entry = unsignedNode(
        nodeRecord({
          nodeId: nodeId(n),
          addresses: [`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}/32`],
          tags: [`g${n % groups}`],
        }),
      );
      visibility.replace(entry.id, spied(entry, touched));
    }
    for (let g = 0; g < groups; g++) {
      const side = [tagged(`g${g}`)];
      const entry = unsignedRule(ruleRecord({ name: `r${g}`, sources: side, destinations: side }));
      visibility.replace(entry.id, entry);
    }
    const before = visibility.node(nodeId(7));
    assert(before);
    touched.clear();
    const after = unsignedNode(
      nodeRecord({ nodeId: nodeId(7), addresses: ["10.0.0.7/32"], tags: ["g8"], revision: 2n }),
    );
    const concerned = new Set<string>();
    takeStep(
      visibility,
      [{ objectId: after.id, before, after }],
      () => true,
      (viewer) => concerned.add(viewer),
    );
    const number = (id: string) => Number(id.slice("node_".length)) % groups;
    assert(touched.size <= 2 * members + 1, `${touched.size} nodes were looked at`);
    assert.equal(concerned.size, 2 * members);
    assert([...concerned].every((id) => number(id) === 7 || number(id) === 8));
  });

  it("deny beats allow, in part or whole", () => {
    const visibility = new Visibility();
    const a = unsignedNode(nodeRecord({ nodeId: "node_a", addresses: ["10.0.0.1/32"], tags: ["a"] }));
    const b = unsignedNode(nodeRecord({ nodeId: "node_b", addresses: ["10.0.0.2/32"], tags: ["b"] }));
    const put = (entry: Entry) => visibility.replace(entry.id, entry);
    put(a);
    put(b);
    assert(!visibility.sees(a, b), "deny by default");
    const side = { sources: [tagged("a")], destinations: [tagged("b")] };
    put(
      unsignedRule(
        ruleRecord({ name: "web", ...side, protocol: PolicyProtocol.TCP, ports: [{ first: 80, last: 90 }] }),
      ),
    );
    assert(visibility.sees(a, b) && visibility.sees(b, a), "both directions");
    const deny = (first: number, last: number) =>
      put(
        unsignedRule(
          ruleRecord({ name: "no", deny: true, ...side, protocol: PolicyProtocol.TCP, ports: [{ first, last }] }),
        ),
      );
    deny(80, 89);
    assert(visibility.sees(a, b), "port 90 is left");
    deny(1, 90);
    assert(!visibility.sees(a, b), "nothing is left");
    put(unsignedRule(ruleRecord({ name: "no", deny: true, sources: [any()], destinations: [within("10.0.0.2/32")] })));
    assert(!visibility.sees(a, b), "an address is denied whatever the protocol");
  });
});

function uniqueById<E extends Entry>(entries: readonly E[]): E[] {
  return [...new Map(entries.map((entry) => [entry.id, entry])).values()];
}

/** Applies a move to the state and says what changed. */
function step(state: Model, entries: readonly Entry[], remove: boolean): EntryChange[] {
  return entries.flatMap((entry) => {
    const before = state.get(entry.id);
    const after = remove ? undefined : entry;
    if (!before && !after) return [];
    if (after) state.set(entry.id, after);
    else state.delete(entry.id);
    return [{ objectId: entry.id, before, after }];
  });
}

function nodesIn(state: Model): NodeEntry[] {
  return [...state.values()].filter((entry) => entry.kind === "node");
}

function asModel({ nodes, rules }: { nodes: NodeEntry[]; rules: RuleEntry[] }): Model {
  return new Map([...nodes, ...rules].map((entry) => [entry.id, entry]));
}

function ids(model: Model | undefined): string[] {
  return [...(model?.values() ?? [])].map(({ id, bytes }) => `${id} ${Buffer.from(bytes).toString("hex")}`).sort();
}

/** What a viewer may see, found by trying every address, protocol and port that occurs. */
function reference(state: Model, viewer: NodeEntry): Model {
  const rules = [...state.values()].filter((entry) => entry.kind === "rule");
  const seen: Model = new Map([[viewer.id, viewer]]);
  for (const peer of nodesIn(state)) {
    if (peer.id !== viewer.id && (tryAll(viewer, peer, rules) || tryAll(peer, viewer, rules))) seen.set(peer.id, peer);
  }
  for (const entry of rules) {
    const addresses = addressesOf(viewer);
    if (
      [entry.record.sources, entry.record.destinations].some((side) =>
        addresses.some((at) => says(entry.record, side, viewer, at)),
      )
    ) {
      seen.set(entry.id, entry);
    }
  }
  return seen;
}

function tryAll(source: NodeEntry, destination: NodeEntry, rules: readonly RuleEntry[]): boolean {
  for (const from of addressesOf(source)) {
    for (const to of addressesOf(destination)) {
      if (from.length !== to.length) continue;
      for (const protocol of [PolicyProtocol.TCP, PolicyProtocol.UDP, PolicyProtocol.ICMP, "other"] as const) {
        for (let port = 0; port <= 8; port++) {
          const speaking = rules.filter(
            ({ record }) =>
              says(record, record.sources, source, from) &&
              says(record, record.destinations, destination, to) &&
              (record.protocol === PolicyProtocol.ANY || record.protocol === protocol) &&
              (record.ports.length === 0 || record.ports.some(({ first, last }) => first <= port && port <= last)),
          );
          if (speaking.length > 0 && speaking.every(({ record }) => record.action === PolicyAction.ALLOW)) return true;
        }
      }
    }
  }
  return false;
}

function says({ action }: RuleRecord, side: readonly RuleSelector[], { record }: NodeEntry, address: Buffer): boolean {
  const own = record.addresses.some((at) => address.equals(at.address));
  return side.some(({ selector: { case: kind, value } }) => {
    if (kind === "prefix") return inside(address, value);
    if (!own && action === PolicyAction.ALLOW) return false;
    if (kind === "any") return true;
    if (kind === "nodeId") return value === record.nodeId;
    return kind === "selectorId" && record.selectors.some((id) => Buffer.from(id).equals(value));
  });
}

function inside(address: Buffer, { address: network, length }: { address: Uint8Array; length: number }): boolean {
  if (address.length !== network.length) return false;
  const bits = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return bits(address).slice(0, length) === bits(network).slice(0, length);
}

function addressesOf({ record }: NodeEntry): Buffer[] {
  return [...record.addresses, ...record.routes].flatMap(({ address, length }) => {
    const count = 2 ** (address.length * 8 - length);
    return Array.from({ length: count }, (_, at) => {
      const copy = Buffer.from(address);
      copy[copy.length - 1] = (copy.at(-1) ?? 0) + at;
      return copy;
    });
  });
}

/** The entry, telling whenever somebody asks what it is. */
function spied(entry: NodeEntry, touched: Set<string>): NodeEntry {
  return new Proxy(entry, {
    get: (target, key, receiver) => {
      touched.add(target.id);
      return Reflect.get(target, key, receiver);
    },
  });
}
