// Runs in an enclosure and prints what it saw as one JSON line; lab.test.ts judges it.
import { createServer } from "node:net";
import { once } from "node:events";
import { createLab, demoNetwork, run, sweep } from "../index.ts";

const network = demoNetwork(71);
const lab = await createLab(network.topology, { captureProgram: process.env["CLOUDVLAN_LAB"] ?? "" });

const server = createServer((socket) => socket.end("reached"));
server.listen(0, network.controlAddress);
await once(server, "listening");
const address = server.address();
const port = typeof address === "object" && address ? address.port : 0;

const capture = await lab.capture("router", "hosta0");
const client = `exec 3<>/dev/tcp/${network.controlAddress}/${port}; cat <&3`;
const reached = await lab.exec("hosta", ["bash", "-c", client]);
const tun = await lab.exec("hosta", ["ip", "tuntap", "add", "dev", "cvlan0", "mode", "tun"]);
await lab.deleteInterface("hosta", "cvlan0");
const gone = await lab.exec("hosta", ["ip", "link", "show", "dev", "cvlan0"]);
const packets = await capture.stop();
const spawned = await lab.spawn("hostb", ["sleep", "1000"]);
await lab.close();
server.close();
const [, signal] = spawned.signalCode ? [null, spawned.signalCode] : ((await once(spawned, "exit")) as [null, string]);

// A lab whose owner died: process 2^22 + 1 is above the kernel's largest process id.
await run(["ip", "netns", "add", "cv4194305-left"]);
const swept = await sweep();
const namespaces = await run(["ip", "netns", "list"]);

process.stdout.write(
  `${JSON.stringify({
    reached: reached.stdout,
    tun: tun.code,
    gone: gone.code,
    ports: packets.map((packet) => packet.dport).filter((to) => to === port).length,
    signal,
    swept,
    namespaces: namespaces.stdout.trim(),
  })}\n`,
);
