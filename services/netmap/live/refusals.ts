import { Refusal } from "@cloudvlan/kit/errors";

export function nodeRevoked(nodeId: string): Refusal {
  return new Refusal("denied", "NODE_REVOKED", "the node is no member any more", {
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
