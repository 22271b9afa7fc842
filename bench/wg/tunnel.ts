import { type Lab, must } from "@cloudvlan/test/lab";
import { startUserspace, type UserspaceInterface } from "@cloudvlan/test/userspace";
import type { Implementation } from "./implementations.ts";
import { ADDRESS } from "./wires.ts";

export const PORT = 51_820;
const HANDSHAKE_S = 20;

export type Side = "left" | "right";

/** Inside of the tunnel. */
export const INNER: Readonly<Record<Side, string>> = { left: "10.99.0.1", right: "10.99.0.2" };
const NAME: Readonly<Record<Side, string>> = { left: "wgleft", right: "wgright" };
const OTHER: Readonly<Record<Side, Side>> = { left: "right", right: "left" };

/** Somebody who may call, without an endpoint. */
export interface Caller {
  /** 64 hexadecimal digits. */
  readonly publicKey: string;
  readonly address: string;
}

/** One end of a tunnel. */
export interface Device {
  readonly pid: number;
  /** 64 hexadecimal digits. */
  readonly publicKey: string;
  /** Declares the other end, and who else may call. */
  configure(callers?: readonly Caller[]): Promise<void>;
}

/** A tunnel between the machines left and right, both ends of one implementation. */
export interface Tunnel extends AsyncDisposable, Readonly<Record<Side, Device>> {}

interface Keys {
  readonly private: string;
  readonly public: string;
}

const hex = (base64: string): string => Buffer.from(base64, "base64").toString("hex");
const base64 = (digits: string): string => Buffer.from(digits, "hex").toString("base64");

async function makeKeys(): Promise<Keys> {
  const made = (await must(["wg", "genkey"])).trim();
  return { private: made, public: (await must(["wg", "pubkey"], { input: made })).trim() };
}

/** A configuration of `wg setconf`. */
export function configurationOf(privateKey: string, peers: readonly string[]): string {
  return [`[Interface]`, `PrivateKey = ${privateKey}`, `ListenPort = ${PORT}`, ...peers, ""].join("\n");
}

/** A section of a peer that has one address and no endpoint. */
export function callerSection({ publicKey, address }: Caller): string {
  return `[Peer]\nPublicKey = ${base64(publicKey)}\nAllowedIPs = ${address}/32`;
}

/** Starts one end; its interface is up and has its address. */
export function startEnd(lab: Lab, { argv }: Implementation, side: Side, folder: string): Promise<UserspaceInterface> {
  return startUserspace(lab, side, argv(NAME[side]), NAME[side], [`${INNER[side]}/24`], folder);
}

/** Starts both ends and waits until they have a session. @throws Error when an end does not start or they do not meet */
export async function startTunnel(lab: Lab, implementation: Implementation, folder: string): Promise<Tunnel> {
  await using cleanup = new AsyncDisposableStack();
  const keys = { left: await makeKeys(), right: await makeKeys() };
  const device = async (side: Side): Promise<Device> => {
    const end = cleanup.use(await startEnd(lab, implementation, side, folder));
    const other = OTHER[side];
    const peer = `[Peer]\nPublicKey = ${keys[other].public}\nAllowedIPs = ${INNER[other]}/32\nEndpoint = ${ADDRESS[other]}:${PORT}`;
    const configure = async (callers: readonly Caller[] = []): Promise<void> => {
      await end.configure("setconf", configurationOf(keys[side].private, [peer, ...callers.map(callerSection)]));
    };
    await configure();
    return { pid: end.daemon.pid, publicKey: hex(keys[side].public), configure };
  };
  const [left, right] = [await device("left"), await device("right")];
  await must(lab.argvOn("left", ["ping", "-n", "-q", "-c", "1", "-w", String(HANDSHAKE_S), INNER.right]));
  const kept = cleanup.move();
  return { left, right, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}
