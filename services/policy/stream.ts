/** Object id of the manifest in a cvlan's change stream. */
export const MANIFEST = "manifest";

/** Object id of a rule in a cvlan's change stream. */
export function ruleObject(ruleId: Uint8Array): string {
  return `rule_${Buffer.from(ruleId).toString("hex")}`;
}
