import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { PeerStatusSchema } from "@cloudvlan/gen/engine/v1/engine_pb.js";
import type { CapturedPacket } from "@cloudvlan/test/lab";
import { doubtsAbout, type Evidence } from "../start/proof.ts";

const A = "10.71.1.2";
const B = "10.71.2.2";

function packet(src: string, dst: string, more: Partial<CapturedPacket> = {}): CapturedPacket {
  const udp = { t_us: 0, ethertype: 2048, proto: 17, sport: 1, dport: 2, len: 150, wg_type: 4, head_hex: "04" };
  return { ...udp, src, dst, ...more };
}

const peer = (sent: bigint, received: bigint) => create(PeerStatusSchema, { bytesSent: sent, bytesReceived: received });

const good: Evidence = {
  underlay: [A, B],
  overlay: ["100.64.0.1", "100.64.0.2"],
  engines: [
    { name: "hosta", peer: peer(128n, 128n) },
    { name: "hostb", peer: peer(128n, 128n) },
  ],
  packets: [
    packet(A, B, { wg_type: 1 }),
    packet(B, A, { wg_type: 2 }),
    packet(A, B),
    packet(B, A),
    packet(A, "10.71.0.2", { proto: 6, wg_type: null }),
    packet("", "", { ethertype: 2054, src: null, dst: null, proto: null, wg_type: null }),
  ],
  pings: 1,
};

describe("proof of an encrypted overlay", () => {
  it("has no doubts about sealed packets alone", () => {
    assert.deepEqual(doubtsAbout(good), []);
  });

  const spoilt: readonly [title: string, evidence: Evidence, doubt: RegExp][] = [
    ["no answer", { ...good, pings: 0 }, /no ping was answered/],
    [
      "an engine that sealed nothing",
      { ...good, engines: [{ name: "hosta", peer: peer(0n, 128n) }] },
      /hosta counts 0 sealed bytes sent/,
    ],
    [
      "an engine that opened nothing",
      { ...good, engines: [{ name: "hostb", peer: peer(128n, 32n) }] },
      /hostb counts 128 sealed bytes sent and 32 received/,
    ],
    ["a wire without the packets", { ...good, packets: [] }, /0 sealed packets from 10\.71\.1\.2 to 10\.71\.2\.2/],
    ["fewer packets than pings", { ...good, pings: 2 }, /1 sealed packets .* for 2 pings/],
    [
      "an echo between the underlay addresses",
      { ...good, packets: [...good.packets, packet(A, B, { proto: 1, wg_type: null })] },
      /no WireGuard message \(protocol 1\)/,
    ],
    [
      "a packet with an overlay address",
      { ...good, packets: [...good.packets, packet("100.64.0.1", "100.64.0.2", { proto: 1, wg_type: null })] },
      /in clear from 100\.64\.0\.1/,
    ],
  ];
  for (const [title, evidence, doubt] of spoilt) {
    it(`doubts ${title}`, () => assert.match(doubtsAbout(evidence).join("\n"), doubt));
  }
});
