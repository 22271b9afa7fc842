import { randomBytes } from "node:crypto";
import { strangers } from "./handshakes.ts";
import { interleaved, type Measurement } from "./rounds.ts";
import { callerSection, configurationOf, startEnd } from "./tunnel.ts";

const PEERS = 10_000;
const KEY_BYTES = 32;

/** `wg setconf` of many peers on an interface that has none. */
export const apply: Measurement = {
  rows: ["apply10k"],
  run: async (rig) => {
    const peers = (await strangers(rig, PEERS)).map(callerSection);
    const configuration = configurationOf(randomBytes(KEY_BYTES).toString("base64"), peers);
    const contestants = rig.present.map((implementation) => ({
      name: implementation.name,
      measure: async () => {
        await using end = await startEnd(rig.lab, implementation, "left", rig.folder);
        const began = performance.now();
        await end.configure("setconf", configuration);
        return { seconds: (performance.now() - began) / 1000 };
      },
    }));
    const taken = await interleaved(rig, "apply10k, s", contestants);
    return { apply10k: taken.row("seconds", { details: { peers: PEERS } }) };
  },
};
