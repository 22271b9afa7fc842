import type { Entry, NodeEntry, RuleEntry } from "./entry.ts";
import type { Visibility } from "./visibility.ts";

/** An object before and after a step. */
export interface EntryChange {
  readonly objectId: string;
  readonly before: Entry | undefined;
  readonly after: Entry | undefined;
}

/**
 * Told what a viewer held of an object before the step touched it. A second note about the same object is of no
 * account until the viewer was brought up to date: the first one says what it holds.
 */
export type Note = (viewerId: string, objectId: string, held: Entry | undefined) => void;

/**
 * Takes one step of the map: notes for every watched node that the changes may concern what it held before, and brings
 * the index up to date. What it must be sent is then the difference between its notes and what it may see now.
 * @param isWatched true for the nodes whose notes anybody wants.
 */
export function takeStep(
  visibility: Visibility,
  changes: readonly EntryChange[],
  isWatched: (nodeId: string) => boolean,
  note: Note,
): void {
  const watch = { visibility, isWatched, note };
  for (const { before, after } of changes) {
    if (before?.kind === "node") noteHeld(watch, before);
    for (const rule of [before, after]) if (rule?.kind === "rule") noteRulePairs(watch, rule);
    if (before?.kind === "rule") noteRule(watch, before, before);
  }
  for (const { objectId, after } of changes) visibility.replace(objectId, after);
  for (const { after } of changes) {
    if (after?.kind === "node") noteNew(watch, after);
    if (after?.kind === "rule") noteRule(watch, after, undefined);
  }
}

interface Watch {
  readonly visibility: Visibility;
  readonly isWatched: (nodeId: string) => boolean;
  readonly note: Note;
}

/** Before the step: who held this record, and what the node itself held. */
function noteHeld({ visibility, isWatched, note }: Watch, node: NodeEntry): void {
  const own = isWatched(node.id);
  for (const id of visibility.concernedBy(node)) {
    if (!own && !isWatched(id)) continue;
    const other = visibility.node(id);
    if (!other || !visibility.sees(other, node)) continue;
    if (isWatched(id)) note(id, node.id, node);
    if (own) note(node.id, id, other);
  }
  if (!own) return;
  note(node.id, node.id, node);
  for (const rule of visibility.rulesOf(node)) note(node.id, rule.id, rule);
}

/** After the step: whoever may see this record and has no note of it held nothing; likewise what the node itself sees. */
function noteNew({ visibility, isWatched, note }: Watch, node: NodeEntry): void {
  const own = isWatched(node.id);
  for (const id of visibility.concernedBy(node)) {
    if (isWatched(id)) note(id, node.id, undefined);
    if (own) note(node.id, id, undefined);
  }
  if (!own) return;
  note(node.id, node.id, undefined);
  for (const rule of visibility.rulesOf(node)) note(node.id, rule.id, undefined);
}

/** Before the step: which pairs that the rule speaks of saw each other. */
function noteRulePairs({ visibility, isWatched, note }: Watch, rule: RuleEntry): void {
  const sources = visibility.membersOf(rule.sources);
  const destinations = visibility.membersOf(rule.destinations);
  const pair = (viewerIds: ReadonlySet<string>, peerIds: ReadonlySet<string>) => {
    for (const viewerId of viewerIds) {
      if (!isWatched(viewerId)) continue;
      const viewer = visibility.node(viewerId);
      if (!viewer) continue;
      for (const peerId of peerIds) {
        const peer = visibility.node(peerId);
        if (peer && peerId !== viewerId) note(viewerId, peerId, visibility.sees(viewer, peer) ? peer : undefined);
      }
    }
  };
  pair(sources, destinations);
  pair(destinations, sources);
}

function noteRule({ visibility, isWatched, note }: Watch, rule: RuleEntry, held: RuleEntry | undefined): void {
  for (const side of [rule.sources, rule.destinations]) {
    for (const id of visibility.membersOf(side)) if (isWatched(id)) note(id, rule.id, held);
  }
}
