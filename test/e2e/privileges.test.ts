import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { joinBoth, ping, type Site, startSite } from "./site/index.ts";

const UNIT = new URL("../../infra/systemd/cloudvlan-agent.service", import.meta.url);

/** Capabilities that the agent's unit leaves, as setpriv spells them. */
async function leftByTheUnit(): Promise<string[]> {
  const [, list = ""] = /^CapabilityBoundingSet=(.*)$/m.exec(await readFile(UNIT, "utf8")) ?? [];
  return list.split(" ").map((name) => name.replace(/^CAP_/, "").toLowerCase());
}

describe("with the capabilities of its unit and no others, an agent", function () {
  this.timeout(180_000);
  let folder: string;
  let site: Site;
  let left: string[];
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "cv-unit-"));
    left = await leftByTheUnit();
    const node = join(folder, "node");
    const bounding = ["-all", ...left.map((name) => `+${name}`)].join(",");
    const text = `#!/bin/sh\nexec setpriv --bounding-set ${bounding} --no-new-privs ${process.execPath} "$@"\n`;
    await writeFile(node, text, { mode: 0o755 });
    site = await startSite({ store: "pglite", workers: 1, programs: { node } });
    await site.tenant.apply(ping);
  });
  after(async () => {
    await site?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  it("joins, makes its interface, sets addresses and routes, and pings", async () => {
    assert.deepEqual(left, ["net_admin", "net_bind_service"]);
    await joinBoth(site);
    const { engine, problems } = (await site.a.status()) ?? {};
    assert.equal(engine?.interfaceName, "cvlan0");
    assert.deepEqual(problems, []);
  });
});
