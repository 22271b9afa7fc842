import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { must } from "@cloudvlan/test/lab";
import { strangers } from "./handshakes.ts";
import { interleaved, type Measurement } from "./rounds.ts";
import { callerSection, configurationOf, startDevice } from "./tunnel.ts";

const PEERS = 10_000;
const KEY_BYTES = 32;

/** `wg setconf` of many peers on an interface that has none. */
export const apply: Measurement = {
  rows: ["apply10k"],
  run: async (rig) => {
    const path = join(rig.folder, "many.conf");
    const peers = (await strangers(rig, PEERS)).map(callerSection);
    await writeFile(path, configurationOf(randomBytes(KEY_BYTES).toString("base64"), peers), { mode: 0o600 });
    const contestants = rig.present.map((implementation) => ({
      name: implementation.name,
      measure: async () => {
        const { daemon, interfaceName } = await startDevice(rig.lab, implementation, "left", rig.folder);
        try {
          const began = performance.now();
          await must(rig.lab.argvOn("left", ["wg", "setconf", interfaceName, path]));
          return { seconds: (performance.now() - began) / 1000 };
        } finally {
          await daemon.stop();
        }
      },
    }));
    const taken = await interleaved(rig, "apply10k, s", contestants);
    return { apply10k: taken.row("seconds", { details: { peers: PEERS } }) };
  },
};
