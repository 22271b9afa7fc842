import { toBinary } from "@bufbuild/protobuf";
import { type MapUpdate, MapUpdateSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";

/** Largest step in bytes that is handed to the engine, whose messages end at 16 MiB. */
const MAX_STEP = 15 * 1024 * 1024;

/** Collects the frames of one step: all up to and including the first without `more`. */
export interface StepCollector {
  /**
   * @returns the whole step when this frame completes it.
   * @throws Refusal `STEP_TOO_LARGE`; what was collected is forgotten.
   */
  add(frame: MapUpdate): MapUpdate[] | undefined;
}

export function stepCollector(maxBytes: number = MAX_STEP): StepCollector {
  let frames: MapUpdate[] = [];
  let bytes = 0;
  return {
    add(frame) {
      bytes += toBinary(MapUpdateSchema, frame).length;
      if (bytes > maxBytes) {
        frames = [];
        bytes = 0;
        throw new Refusal("exhausted", "STEP_TOO_LARGE", `a step of the map is larger than ${maxBytes} bytes`, {
          remedy: "narrow the policy so that this node sees fewer peers",
        });
      }
      frames.push(frame);
      if (frame.more) return undefined;
      const step = frames;
      frames = [];
      bytes = 0;
      return step;
    },
  };
}
