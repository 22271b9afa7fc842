import { setTimeout as delay } from "node:timers/promises";
import type { BenchContext } from "./benchmark.ts";
import { startNetwork } from "./network.ts";
import { passed } from "./wire.ts";

/** Seconds a certificate lives here: renewals come every 40 s instead of every 16 hours. */
const LIFE_S = 60;
const RENEWALS = 3;
const LOOK_MS = 1_000;
const CEILING_MS = 600_000;
const RENEWED = '"msg":"certificate renewed"';

/**
 * Bytes that one renewal of a node's certificate costs: the call, and the connection and stream that follow with the new
 * one. Between renewals, heads and their like are counted too, which makes it a little more than it is.
 */
export async function renewalBytes(context: BenchContext): Promise<number> {
  const services = { auth: { node_certificate_ttl_seconds: LIFE_S } };
  await using network = await startNetwork(context, { store: "pglite", workers: 1, services });
  const node = await network.machine("hosta");
  await node.join(await network.tenant.newJoinString());
  const renewals = async (): Promise<number> => (await node.agent.said()).split(RENEWED).length - 1;
  const reached = async (count: number): Promise<void> => {
    const deadline = performance.now() + CEILING_MS;
    while ((await renewals()) < count) {
      if (performance.now() > deadline) throw new Error("the certificate is not renewed");
      await delay(LOOK_MS);
    }
    // The new connection and stream belong to this renewal.
    await delay(LOOK_MS * 3);
  };
  await reached(1);
  const before = await passed(network.lab, node.name);
  await reached(1 + RENEWALS);
  const after = await passed(network.lab, node.name);
  return (after - before) / RENEWALS;
}
