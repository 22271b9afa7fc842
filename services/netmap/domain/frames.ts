import type { Delta } from "./delta.ts";
import { ruleIdOf } from "./entry.ts";
import type { SharedEntry } from "./record.ts";
import { delimited, scalar } from "./wire.ts";

/** Largest frame, bytes. */
export const MAX_FRAME_BYTES = 256 * 1024;

/** Room for envelope and tags beside the fields that are counted. */
const OVERHEAD = 64;

/** Field numbers of `MapUpdate`. */
const FIELD = {
  previous: 1,
  revision: 2,
  full: 3,
  more: 4,
  head: 5,
  keyset: 6,
  removedNodes: 9,
  removedRules: 10,
  hints: 11,
  dns: 12,
  rootTransitions: 13,
  headKept: 14,
  suspended: 15,
  relay_map: 16,
};

/** Field number of `WatchResponse.update`. */
const UPDATE = 1;

/** One step of a viewer's map. */
export interface Step {
  readonly previous: bigint;
  readonly revision: bigint;
  readonly full: boolean;
  readonly suspended: boolean;
  /** Serialised `Signed` of the head. */
  readonly head: Uint8Array;
  /** Head that the viewer completes this one with; none when it takes whole heads only. */
  readonly formerHead: Uint8Array | undefined;
  /** Serialised `Signed` of the keyset, when the viewer's is older. */
  readonly keyset: Uint8Array | undefined;
  /** Those of which the viewer's may be older. */
  readonly shared: readonly SharedEntry[];
  /** Serialised `Signed` of what leads to the root key that signed the keyset; none without a keyset. */
  readonly rootTransitions: readonly Uint8Array[];
  readonly delta: Delta;
  /** Serialised `EndpointHint` messages. */
  readonly hints: readonly Uint8Array[];
}

/** A step as serialised `WatchResponse` messages, joined from bytes that were encoded once for all viewers. */
export function framesOf(step: Step): Uint8Array[] {
  const first = [
    ...step.rootTransitions.map((transition) => delimited(FIELD.rootTransitions, transition)),
    ...(step.keyset ? [delimited(FIELD.keyset, step.keyset)] : []),
    ...step.shared.map(({ id, bytes }) => delimited(FIELD[id], bytes)),
  ];
  const kept = step.formerHead ? commonPrefix(step.formerHead, step.head) : 0;
  const head = Buffer.concat([delimited(FIELD.head, step.head.subarray(kept)), scalar(FIELD.headKept, kept)]);
  const frames: Uint8Array[] = [];
  let fields: Uint8Array[] = first;
  let size = OVERHEAD + head.length + total(first);
  for (const field of fieldsOf(step)) {
    if (size + field.length > MAX_FRAME_BYTES) {
      frames.push(frame(step, frames.length === 0, true, fields));
      fields = [];
      size = OVERHEAD + head.length;
    }
    fields.push(field);
    size += field.length;
  }
  frames.push(frame(step, frames.length === 0, false, [...fields, head]));
  return frames;
}

function* fieldsOf({ delta, hints }: Step): Iterable<Uint8Array> {
  for (const { field } of delta.nodes) yield field;
  for (const { field } of delta.rules) yield field;
  for (const id of delta.removedNodes) yield delimited(FIELD.removedNodes, Buffer.from(id));
  for (const id of delta.removedRules) yield delimited(FIELD.removedRules, ruleIdOf(id));
  for (const hint of hints) yield delimited(FIELD.hints, hint);
}

function frame(step: Step, isFirst: boolean, more: boolean, fields: readonly Uint8Array[]): Uint8Array {
  const update = Buffer.concat([
    scalar(FIELD.previous, step.previous),
    scalar(FIELD.revision, step.revision),
    scalar(FIELD.full, step.full && isFirst ? 1 : 0),
    scalar(FIELD.more, more ? 1 : 0),
    scalar(FIELD.suspended, step.full && isFirst && step.suspended ? 1 : 0),
    ...fields,
  ]);
  return delimited(UPDATE, update);
}

function commonPrefix(former: Uint8Array, next: Uint8Array): number {
  const differs = next.findIndex((byte, index) => byte !== former[index]);
  return differs < 0 ? next.length : differs;
}

function total(fields: readonly Uint8Array[]): number {
  return fields.reduce((sum, { length }) => sum + length, 0);
}
