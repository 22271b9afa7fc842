import { type Id, idBytes } from "@cloudvlan/kit/ids";
import type { KeyProvider } from "@cloudvlan/kit/keys";

const SELECTOR_BYTES = 16;

/** Selector of a group: its UUID, which says nothing of the group's name. */
export function groupSelector(groupId: string): Uint8Array {
  return idBytes(groupId as Id<"group">);
}

/** Selector of a tag in a cvlan: stable, and opaque to whoever lacks the service's key. */
export function tagSelector(keys: KeyProvider, cvlanId: string, key: string, value: string): Uint8Array {
  return keys.mac("registry/selector", Buffer.from(`${cvlanId}\0${key}=${value}`)).slice(0, SELECTOR_BYTES);
}

/** Selectors of a node as its record lists them: sorted by bytes. */
export function selectorsOf(
  keys: KeyProvider,
  cvlanId: string,
  tags: Readonly<Record<string, string>>,
  groupIds: readonly string[],
): Uint8Array[] {
  const ofTags = Object.entries(tags).map(([key, value]) => tagSelector(keys, cvlanId, key, value));
  return [...ofTags, ...groupIds.map(groupSelector)].toSorted((a, b) => Buffer.compare(a, b));
}

/** Ids of the groups among a record's selectors: those that its tags do not account for. */
export function groupsAmong(
  keys: KeyProvider,
  node: { readonly cvlanId: string; readonly tags: Readonly<Record<string, string>> },
  selectors: readonly Uint8Array[],
): string[] {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  const ofTags = new Set(selectorsOf(keys, node.cvlanId, node.tags, []).map(hex));
  return selectors
    .map(hex)
    .filter((selector) => !ofTags.has(selector))
    .map((selector) => `group_${selector.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5")}`);
}
