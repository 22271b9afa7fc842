import { Refusal } from "@cloudvlan/kit/errors";

export function nodeRevoked(nodeId: string): Refusal {
  return new Refusal("denied", "NODE_REVOKED", "the node is no member any more", {
    objectId: nodeId,
    remedy: "join again with a new token",
  });
}

/** Not told from a revoked one by its reason: what the node has to do is the same. */
export function nodeUnknown(nodeId: string): Refusal {
  const message = "the controller knows no such node: it was deleted, or joined after the backup that was restored";
  return new Refusal("denied", "NODE_REVOKED", message, {
    objectId: nodeId,
    remedy: "join again with a new token",
  });
}

export function tooManyStreams(nodeId: string, most: number): Refusal {
  return new Refusal("exhausted", "TOO_MANY_STREAMS", `the node opened more than ${most} streams`, {
    objectId: nodeId,
    remedy: "keep one stream open; two machines must not share a state directory",
  });
}

export function notReady(nodeId: string): Refusal {
  return new Refusal("unavailable", "NODE_NOT_READY", "the node's record has not arrived yet", {
    objectId: nodeId,
    remedy: "try again in a few seconds",
  });
}
