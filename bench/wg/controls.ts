import { join } from "node:path";
import { program } from "@cloudvlan/infra/site/process";
import { must } from "@cloudvlan/test/lab";
import * as z from "zod";
import type { Rig } from "./rounds.ts";
import { INNER, PORT, type Side } from "./tunnel.ts";
import { tcpStream } from "./traffic.ts";
import { ADDRESS } from "./wires.ts";

const BITS = 8;
const GIGA = 1e9;
const AEAD_SECONDS = 2;
const MTU = "1420";
const TUN = { left: "fwleft", right: "fwright" };
const OTHER: Readonly<Record<Side, Side>> = { left: "right", right: "left" };

const AeadReport = z.object({ bytes_per_second: z.number() });

/** ChaCha20-Poly1305 over packets of 1,440 bytes in one thread, and nothing else. */
export async function aeadGbitPerSecond({ tools }: Rig): Promise<number> {
  const out = await must([tools, "aead", "--seconds", String(AEAD_SECONDS)]);
  return (AeadReport.parse(JSON.parse(out)).bytes_per_second * BITS) / GIGA;
}

/** One TCP flow through a tunnel with the packet I/O of the engine and no cipher, Gbit/s. */
export async function forwarded(rig: Rig, seconds: number): Promise<number> {
  const { lab, tools, folder } = rig;
  await using cleanup = new AsyncDisposableStack();
  for (const side of ["left", "right"] as const) {
    const peer = `${ADDRESS[OTHER[side]]}:${PORT}`;
    const argv = [tools, "forward", "--tun", TUN[side], "--listen", String(PORT), "--peer", peer];
    const forwarder = program(lab.argvOn(side, argv), join(folder, `forwarder-${side}.log`));
    const ip = (...args: readonly string[]) => must(lab.argvOn(side, ["ip", ...args]));
    await forwarder.start();
    cleanup.defer(() => forwarder.stop());
    await forwarder.until("it has its interface", async () => {
      const { code } = await lab.exec(side, ["ip", "link", "show", "dev", TUN[side]]);
      return code === 0;
    });
    await ip("addr", "add", `${INNER[side]}/24`, "dev", TUN[side]);
    await ip("link", "set", "dev", TUN[side], "mtu", MTU, "up");
  }
  return (await tcpStream(lab, INNER.right, seconds)).gbitPerSecond;
}
