import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { agentConfigSchema } from "@cloudvlan/agent/config";
import { services } from "@cloudvlan/all";
import { loadProcessConfig, parseConfig, processConfigSchema } from "@cloudvlan/kit/config";
import { keysOf } from "./keys.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const SCHEMAS = Object.fromEntries(services.map(({ name, config }) => [name, config]));

/** A sample with the keys that it leaves at their default written out. */
async function writtenOut(name: string): Promise<string> {
  const text = await readFile(join(root, "infra/config", name), "utf8");
  return text.replaceAll(/^(\s*)#(?=\s*[\w-]+:)/gm, "$1");
}

/** Keys that have no line in a sample, be it written out, left at its default or an alternative. */
function missing(text: string, keys: readonly string[]): string[] {
  return keys.filter((key) => !new RegExp(`^[\\s#|]*${key.split(".").at(-1)}:`, "m").test(text));
}

describe("the sample of the control plane's configuration", () => {
  let folder: string;
  before(async () => void (folder = await mkdtemp(join(tmpdir(), "cvlan-sample-"))));
  after(() => rm(folder, { recursive: true, force: true }));

  it("is good as it stands and with every key written out", async () => {
    const plain = await readFile(join(root, "infra/config/control-plane.yaml"), "utf8");
    for (const text of [plain, await writtenOut("control-plane.yaml")]) {
      const file = join(folder, "control-plane.yaml");
      await writeFile(file, text, { mode: 0o600 });
      assert.equal(loadProcessConfig(file, SCHEMAS).url, "https://controller.example:8443");
    }
  });
  it("has every key of the process and of each service", async () => {
    const text = await writtenOut("control-plane.yaml");
    const keys = [...keysOf(processConfigSchema), ...services.flatMap(({ config }) => keysOf(config))];
    assert.ok(keys.length > 40, "the schemas were not read");
    assert.deepEqual(missing(text, keys), []);
  });
});

describe("the sample of the agent's configuration", () => {
  it("is good as it stands and with every key written out, and has every key", async () => {
    const plain = await readFile(join(root, "infra/config/agent.yaml"), "utf8");
    const text = await writtenOut("agent.yaml");
    parseConfig("agent.yaml", plain, agentConfigSchema.partial());
    const parsed = parseConfig("agent.yaml", text, agentConfigSchema);
    assert.equal(parsed.interface, "cvlan0");
    assert.deepEqual(missing(text, keysOf(agentConfigSchema)), []);
  });
});
