import type { Entry, NodeEntry, RuleEntry } from "./entry.ts";
import type { EntryChange } from "./step.ts";
import { concerns, type Visibility } from "./visibility.ts";

/** What a viewer held of each object that may have changed for it, since it was last brought up to date. */
export type Notes = ReadonlyMap<string, Entry | undefined>;

/** What brings a viewer up to date. */
export interface Delta {
  readonly nodes: NodeEntry[];
  readonly rules: RuleEntry[];
  readonly removedNodes: string[];
  readonly removedRules: string[];
}

/** The difference between what the viewer holds by its notes and what it may see now. */
export function deltaOf(visibility: Visibility, viewer: NodeEntry, notes: Notes): Delta {
  const delta: Delta = { nodes: [], rules: [], removedNodes: [], removedRules: [] };
  for (const [objectId, held] of notes) {
    const entry = visibility.entry(objectId);
    const now = entry && maySee(visibility, viewer, entry) ? entry : undefined;
    if (now) {
      if (held && Buffer.compare(held.bytes, now.bytes) === 0) continue;
      if (now.kind === "node") delta.nodes.push(now);
      else delta.rules.push(now);
    } else if (held) {
      (held.kind === "node" ? delta.removedNodes : delta.removedRules).push(objectId);
    }
  }
  return delta;
}

function maySee(visibility: Visibility, viewer: NodeEntry, entry: Entry): boolean {
  if (entry.kind === "rule") return concerns(entry, viewer);
  return entry.id === viewer.id || visibility.sees(viewer, entry);
}

/** Everything the viewer may see, its own record first. */
export function fullMap(visibility: Visibility, viewer: NodeEntry): Delta {
  const nodes = [viewer, ...visibility.peersOf(viewer)];
  return { nodes, rules: [...visibility.rulesOf(viewer)], removedNodes: [], removedRules: [] };
}

/** What a node of a suspended tenant is told: its own record, and nobody to talk to. */
export function aloneMap(viewer: NodeEntry): Delta {
  return { nodes: [viewer], rules: [], removedNodes: [], removedRules: [] };
}

/**
 * The notes of a viewer that stood before these changes, when they can be told: its own record and the rules that
 * concern it must be the same now as then, for what it held is judged by them.
 * @param changes every change since, oldest first.
 * @returns undefined when a full map is needed.
 */
export function replay(
  visibility: Visibility,
  viewer: NodeEntry,
  changes: Iterable<EntryChange>,
): Map<string, Entry | undefined> | undefined {
  const notes = new Map<string, Entry | undefined>();
  for (const { objectId, before, after } of changes) {
    if (objectId === viewer.id) return undefined;
    for (const rule of [before, after]) if (rule?.kind === "rule" && concerns(rule, viewer)) return undefined;
    if (before?.kind === "rule" || after?.kind === "rule" || notes.has(objectId)) continue;
    notes.set(objectId, before && visibility.sees(viewer, before) ? before : undefined);
  }
  return notes;
}
