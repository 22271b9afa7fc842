/** A DNS label made of a host's name: what a node is called when nobody said. */
export function nodeNameOf(hostname: string): string {
  const label = (hostname.split(".")[0] ?? "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]/g, "-")
    .slice(0, 63)
    .replaceAll(/^-+|-+$/g, "");
  return label || "node";
}
