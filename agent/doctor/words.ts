/** Names that a finding lists. */
const MAX_LISTED = 5;

/** The first few of a list, and how many more there are. */
export function listed(items: readonly string[]): string {
  const rest = items.length - MAX_LISTED;
  return `${items.slice(0, MAX_LISTED).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}
