import type { MapUpdate } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";

/**
 * Puts the heads of one stream together: each may continue the first bytes of the one before. What comes of it is judged
 * by the engine, like a head that came whole.
 * @returns a function that gives each frame its whole head; it throws a Refusal `HEAD_INCOMPLETE`.
 */
export function headCompleter(): (frame: MapUpdate) => MapUpdate {
  let former: Uint8Array = new Uint8Array();
  return (frame) => {
    if (frame.head.length === 0 && frame.headKept === 0) return frame;
    if (frame.headKept > former.length) {
      throw new Refusal(
        "invalid",
        "HEAD_INCOMPLETE",
        `a head continues ${frame.headKept} bytes of one of ${former.length}`,
        { remedy: "the stream is opened anew by itself; see that agent and controller are of neighbouring versions" },
      );
    }
    // A copy: what was received may be a view of a whole frame.
    former = Buffer.concat([former.subarray(0, frame.headKept), frame.head]);
    return { ...frame, head: former, headKept: 0 };
  };
}
