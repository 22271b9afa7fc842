// Runs in a network namespace of its own; prints what became of the interface after each step.
import { execFileSync } from "node:child_process";
import { create } from "@bufbuild/protobuf";
import { type EngineStatus, EngineStatusSchema } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { parseCidr } from "@cloudvlan/kit/net";
import { readInterface } from "../host/ip.ts";
import { syncHost } from "../host/sync.ts";

const ip = (line: string) => execFileSync("ip", line.split(" "), { encoding: "utf8" });
const prefixes = (texts: readonly string[]) =>
  texts.map((text) => {
    const prefix = parseCidr(text);
    if (!prefix) throw new Error(`${text} is no prefix`);
    return prefix;
  });
const status = (mtu: number, addresses: readonly string[], routes: readonly string[]): EngineStatus =>
  create(EngineStatusSchema, {
    interfaceName: "cvlan7",
    mtu,
    addresses: prefixes(addresses),
    routes: prefixes(routes),
  });

async function step(name: string, wanted: EngineStatus): Promise<void> {
  const commands = await syncHost(wanted);
  const state = await readInterface("cvlan7");
  const sorted = (list: readonly { text: string }[] = []) => list.toSorted((a, b) => (a.text < b.text ? -1 : 1));
  const shown = state && { ...state, addresses: sorted(state.addresses), routes: sorted(state.routes) };
  console.log(JSON.stringify({ step: name, commands, state: shown }));
}

const first = status(
  1_420,
  ["100.64.0.1/32", "fd00::1/128"],
  ["100.64.0.2/32", "10.9.0.0/16", "fd00::2/128", "0.0.0.0/0"],
);
await step("absent", first);
ip("link add cvlan7 type veth peer name peer7");
ip("link set peer7 up");
await step("first", first);
await step("again", first);
ip("route add 192.0.2.0/24 dev cvlan7 proto boot");
ip("route del 100.64.0.2/32 dev cvlan7");
ip("address del fd00::1/128 dev cvlan7");
ip("address add 100.64.99.1/32 dev cvlan7");
ip("route add 100.64.98.0/24 dev cvlan7 proto static");
await step("repaired", first);
await step("changed", status(1_300, ["100.64.0.1/32"], ["100.64.0.3/32"]));
const kept = JSON.parse(ip("-j route show dev cvlan7 proto boot")) as { dst: string }[];
console.log(JSON.stringify({ step: "foreign route", commands: 0, state: kept.map(({ dst }) => dst) }));

// A peer's network may be the one that this host stands in.
ip("link add lan0 type veth peer name lan1");
ip("link set lan0 up");
ip("link set lan1 up");
ip("address add 192.168.7.1/24 dev lan0");
const lan = () => {
  const shown = JSON.parse(ip("-j route get 192.168.7.9")) as { dev: string }[];
  const connected = JSON.parse(ip("-j route show 192.168.7.0/24 proto kernel")) as { dst: string }[];
  return connected.map(({ dst }) => ({ dst, dev: shown[0]?.dev }));
};
await syncHost(status(1_300, ["100.64.0.1/32"], ["100.64.0.3/32", "192.168.7.0/24"]));
const during = { step: "own network beside the same one behind a peer", commands: 0, state: lan() };
console.log(JSON.stringify(during));
await syncHost(status(1_300, ["100.64.0.1/32"], ["100.64.0.3/32"]));
console.log(JSON.stringify({ step: "own network afterwards", commands: 0, state: lan() }));

// One route that cannot be had, here because another membership has it, does not keep the others from being set.
ip("route add 198.51.99.0/24 dev lan0 metric 4200");
ip("route add 203.0.113.0/24 dev cvlan7 proto static metric 4200");
const error = await syncHost(
  status(1_300, ["100.64.0.1/32"], ["100.64.0.3/32", "198.51.99.0/24", "198.51.100.0/24"]),
).then(
  () => "",
  (refusal: unknown) => String(refusal),
);
console.log(JSON.stringify({ step: "one route refused", error, state: await readInterface("cvlan7") }));
