const LONGEST_LABEL = 63;

/**
 * Names to try for a node, best first: the wanted one, `name-2` to `name-9`, and one with the random part of the node's
 * id, which nobody has. Cut so that each stays a DNS label (RFC 1035).
 */
export function nameCandidates(wanted: string, nodeId: string): string[] {
  const suffixes = ["-2", "-3", "-4", "-5", "-6", "-7", "-8", "-9", `-${nodeId.slice(-12)}`];
  return [wanted, ...suffixes.map((suffix) => wanted.slice(0, LONGEST_LABEL - suffix.length) + suffix)];
}
