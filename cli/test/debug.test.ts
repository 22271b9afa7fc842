import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { hostname, networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { parseTarGzip } from "nanotar";
import { AgentService, AgentState, CheckVerdict } from "@cloudvlan/gen/agent/v1/agent_pb.js";
import { parseAddress } from "@cloudvlan/kit/net";
import { anonymiser } from "../debug/anonymise.ts";
import { cvlan, localSocket } from "./installation.ts";

const UUID = "01890000-0000-7000-8000-00000000000";
const bytesOf = (text: string): Uint8Array => {
  const address = parseAddress(text);
  assert.ok(address, text);
  return address;
};
const prefix = (text: string) => ({ address: bytesOf(text), length: bytesOf(text).length * 8 });
const KEY = new Uint8Array(32).fill(7);

/** All that must not be found again, as the agent tells it. */
const PRIVATE = {
  names: ["kingfisher", "heronry", "mallard", "shoveler", "old-teal"],
  ids: [`node_${UUID}1`, `node_${UUID}2`, `tenant_${UUID}3`, `cvlan_${UUID}4`],
  addresses: ["100.64.7.9", "100.64.7.10", "198.51.100.23", "2001:db8:77::5", "fd12:3456:789a:1::9"],
  domains: ["vpn.plover.example", "heronry.cvlan.internal", "curlew.example.org"],
  keys: [Buffer.from(KEY).toString("base64")],
};
const SECRETS = ["cvk_platform_abc_secretsecret", "cvlan1.c2VjcmV0", "hunter2"];

const status = {
  state: AgentState.RUNNING,
  name: "kingfisher",
  cvlanName: "heronry",
  nodeId: `node_${UUID}1`,
  tenantId: `tenant_${UUID}3`,
  cvlanId: `cvlan_${UUID}4`,
  controllerUrl: "https://vpn.plover.example:8443",
  controllerError: "https://vpn.plover.example:8443 cannot be reached (ECONNREFUSED 198.51.100.23:8443)",
  version: "0.1.0",
  engine: {
    name: "kingfisher",
    interfaceName: "cvlan0",
    addresses: [prefix("100.64.7.9"), prefix("fd12:3456:789a:1::9")],
    routes: [prefix("100.64.7.10")],
    dns: { domain: "heronry.cvlan.internal" },
    peers: [
      {
        nodeId: `node_${UUID}2`,
        name: "mallard",
        wireguardPublicKey: KEY,
        addresses: [prefix("100.64.7.10")],
        endpoint: { address: "2001:db8:77::5", port: 51_820 },
      },
    ],
    counters: { rx_dropped_filter: 4n },
  },
  peers: [{ nodeId: `node_${UUID}2`, name: "mallard" }],
};
const line = (fields: object) => JSON.stringify({ level: "info", service: "cvlan-agent", ...fields });

describe("a debug bundle", () => {
  let folder: string;
  let server: AsyncDisposable;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "cvlan-debug-"));
    server = await localSocket(folder, (router) =>
      router.service(AgentService, {
        getStatus: () => ({ status }),
        async *diagnose() {
          const found = "https://vpn.plover.example:8443: vpn.plover.example is 198.51.100.23, TCP";
          yield { check: { name: "reachability", verdict: CheckVerdict.OK, found } };
        },
        collectDebug: () => ({
          config: { state: folder, listen_port: "0", telemetry: '{"otlp":"http://curlew.example.org:4318"}' },
          logLines: [
            line({ node: `node_${UUID}1`, cvlan: "heronry", name: "shoveler", msg: "joined" }),
            line({ why: "getaddrinfo ENOTFOUND vpn.plover.example", msg: "controller unreachable" }),
            line({ why: `https://user:hunter2@curlew.example.org refused ${SECRETS[0]}`, msg: "x" }),
            `a line that is no JSON, of shoveler at 2001:0db8:0077:0:0:0:0:5 with ${SECRETS[1]}`,
          ],
          engineLogLines: [
            JSON.stringify({ target: "cvlan_engine::apply", peer: "old-teal", message: "gone: old-teal" }),
          ],
        }),
      }),
    );
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  async function bundled(name: string, ...flags: string[]) {
    const path = join(folder, name);
    const ran = await cvlan(["--state", folder, "debug", "bundle", "--out", path, ...flags]);
    assert.equal(ran.code, 0, ran.err);
    const entries = await parseTarGzip(await readFile(path));
    const files = new Map(entries.map((entry) => [entry.name.replace("cvlan-debug/", ""), entry.text]));
    return { ...ran, path, files, all: [...files].map(([file, text]) => `${file}\n${text}`).join("\n") };
  }

  it("holds nothing that tells whose machine it is, in any spelling, and is for its owner alone", async () => {
    const { path, all, files } = await bundled("a.tar.gz");
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    for (const each of Object.values(PRIVATE).flat()) assert.ok(!all.includes(each), `${each} is in the bundle`);
    for (const address of PRIVATE.addresses) {
      const base64 = Buffer.from(bytesOf(address)).toString("base64");
      assert.ok(!all.includes(base64), `${address} is in the bundle as ${base64}`);
    }
    assert.ok(!all.includes("0db8:0077"), "a long spelling of an address is in the bundle");
    const own = Object.values(networkInterfaces()).flatMap((infos) => infos ?? []);
    for (const { address, mac, internal } of own) {
      if (internal) continue;
      assert.ok(!all.includes(address) && !all.includes(mac), `${address} of this machine is in the bundle`);
    }
    assert.ok(!new RegExp(`\\b${hostname()}\\b`).test(all), "the name of this machine is in the bundle");
    for (const secret of SECRETS) assert.ok(!all.includes(secret), `${secret} is in the bundle`);
    for (const file of ["README.txt", "status.json", "doctor.json", "versions.json", "config.json", "agent.log"]) {
      assert.ok(files.has(file), file);
    }
    assert.deepEqual(JSON.parse(files.get("missing.json") ?? ""), {});
  });

  it("still says what happened: the same thing has the same word everywhere", async () => {
    const { files } = await bundled("b.tar.gz", "--json");
    const told = JSON.parse(files.get("status.json") ?? "") as {
      name: string;
      engine: { peers: { name: string; addresses: { address: string }[] }[]; routes: { address: string }[] };
      peers: { name: string }[];
    };
    assert.match(told.name, /^name-\d+$/);
    assert.equal(told.engine.peers[0]?.name, told.peers[0]?.name);
    assert.equal(told.engine.peers[0]?.addresses[0]?.address, told.engine.routes[0]?.address);
    assert.match(told.engine.routes[0]?.address ?? "", /^ipv4-\d+$/);
    assert.match(files.get("status.json") ?? "", /"rx_dropped_filter": "4"/);
    assert.match(files.get("agent.log") ?? "", /"msg":"controller unreachable"/);
    assert.match(files.get("engine.log") ?? "", /cvlan_engine::apply/);
    assert.match(files.get("agent.log") ?? "", /getaddrinfo ENOTFOUND domain-\d+/);
  });

  it("leaves names and addresses when that is wanted, and never a secret", async () => {
    const { all, out } = await bundled("c.tar.gz", "--no-anonymise");
    assert.match(out, /NOT anonymised/);
    for (const each of ["kingfisher", "vpn.plover.example", "198.51.100.23"]) assert.ok(all.includes(each), each);
    for (const secret of SECRETS) assert.ok(!all.includes(secret), `${secret} is in the bundle`);
  });

  it("never replaces a file, and says what could not be had", async () => {
    const { path } = await bundled("d.tar.gz");
    const before = await readFile(path);
    const again = await cvlan(["--state", folder, "debug", "bundle", "--out", path, "--json"]);
    assert.equal(again.code, 1);
    assert.equal((JSON.parse(again.err) as { error: { reason: string } }).error.reason, "FILE_EXISTS");
    assert.deepEqual(await readFile(path), before);
    const elsewhere = await cvlan(["debug", "bundle", "--out", join(folder, "none", "x.tar.gz")]);
    assert.equal(elsewhere.code, 1);
    assert.match(elsewhere.err, /cannot be written \(ENOENT\)/);
    const lone = join(folder, "e.tar.gz");
    assert.equal((await cvlan(["--state", join(folder, "none"), "debug", "bundle", "--out", lone])).code, 0);
    const missing = (await parseTarGzip(await readFile(lone))).find(({ name }) => name.endsWith("missing.json"));
    assert.match(missing?.text ?? "", /"status\.json": "no agent serves /);
  });
});

describe("an anonymiser", () => {
  const octets = fc.tuple(fc.integer({ min: 11, max: 223 }), fc.nat(255), fc.nat(255), fc.nat(255));
  const v4 = octets.map((parts) => parts.join(".")).filter((text) => !text.startsWith("127."));

  it("leaves no address, id or known name in a text, and gives the same the same word", () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9-]{2,20}[a-z0-9]$/).filter((text) => !/^(ipv|name|id)/.test(text));
    fc.assert(
      fc.property(fc.array(v4, { minLength: 1 }), fc.uuid(), name, (addresses, uuid, known) => {
        const hide = anonymiser();
        hide.know("name", known);
        const text = [...addresses, `node_${uuid}`, known, ...addresses].join("; ");
        const hidden = hide.text(text);
        const parts = hidden.split("; ");
        assert.deepEqual(parts.slice(0, addresses.length), parts.slice(-addresses.length));
        for (const each of [...addresses, uuid]) assert.ok(!hidden.includes(each), hidden);
        assert.ok(!parts.includes(known), hidden);
        assert.equal(new Set(parts.slice(0, addresses.length)).size, new Set(addresses).size);
      }),
    );
  });

  it("leaves times, versions, files, paths of code and what is everybody's", () => {
    const hide = anonymiser();
    const plain =
      "2026-01-02T08:49:40.123Z 0.1.0 engine.log agent.sock cvlan_engine::apply 127.0.0.1 ::1 0.0.0.0:51820 [::]:443 rx_dropped_filter";
    assert.equal(hide.text(plain), plain);
  });
});
