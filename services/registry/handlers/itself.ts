import { randomUUID } from "node:crypto";
import type { Caller } from "@cloudvlan/kit/caller";

/** The service itself: nobody asked. */
export function itself(): Caller {
  return {
    workload: { kind: "service", name: "registry" },
    authority: undefined,
    requestId: randomUUID(),
    address: "local",
  };
}
