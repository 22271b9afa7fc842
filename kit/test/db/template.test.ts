import assert from "node:assert/strict";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStore } from "../../db/index.ts";
import { copyTemplate, makeTemplate } from "../../db/template.ts";
import { type Line, recordingLog } from "../../testing/log.ts";
import { newTenant, thing, thingMigrations } from "./fixture.ts";

describe("a template of the embedded database", function () {
  this.timeout(120_000);
  let folder: string;
  let template: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "cvlan-template-"));
    template = join(folder, "template");
    await makeTemplate(template);
  });
  after(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }));

  /** A copy of the template with one thing wrong. */
  async function spoilt(name: string, spoil: (copy: string) => Promise<unknown>): Promise<string> {
    const copy = join(folder, `template-${name}`);
    await cp(template, copy, { recursive: true });
    await spoil(copy);
    return copy;
  }

  it("is what a first open begins with, and no later one asks for", async () => {
    const path = join(folder, "store");
    const lines: Line[] = [];
    const log = recordingLog(lines);
    const tenantId = newTenant();
    {
      await using store = await openStore({ kind: "pglite", path, template }, log);
      await store.migrate("registry", thingMigrations);
      await store.database("registry").tenant(tenantId, async (tx) => {
        await tx.insert(thing).values({ tenantId, name: "kept", amount: 1n, body: new Uint8Array() });
      });
    }
    await using store = await openStore({ kind: "pglite", path, template: join(folder, "gone") }, log);
    const rows = await store.database("registry").tenant(tenantId, (tx) => tx.select().from(thing));
    assert.deepEqual(
      rows.map(({ name }) => name),
      ["kept"],
    );
    assert.ok(lines.every(({ fields }) => fields["template"] === undefined));
  });

  it("is never used when it is damaged", async () => {
    const damaged = await spoilt("damaged", async (copy) => {
      const file = join(copy, "data", "global", "pg_control");
      const bytes = await readFile(file);
      bytes[100] = (bytes[100] ?? 0) ^ 1;
      await writeFile(file, bytes);
    });
    const path = join(folder, "store-beside-damaged");
    const lines: Line[] = [];
    const log = recordingLog(lines);
    await using store = await openStore({ kind: "pglite", path, template: damaged }, log);
    await store.migrate("registry", thingMigrations);
    const told = lines.find(({ level, fields }) => level === "warn" && fields["template"] === damaged);
    assert.match(String(told?.fields["error"]), /pg_control is damaged/);
    assert.ok(!(await readdir(path)).includes("data.draft"));
  });

  const spoils: Readonly<Record<string, { spoil: (copy: string) => Promise<unknown>; complaint: RegExp }>> = {
    "of another release": {
      spoil: async (copy) => {
        const manifest = JSON.parse(await readFile(join(copy, "manifest.json"), "utf8")) as object;
        await writeFile(join(copy, "manifest.json"), JSON.stringify({ ...manifest, pglite: "0.0.1" }));
      },
      complaint: /of PGlite 0\.0\.1/,
    },
    "cut short": { spoil: (copy) => rm(join(copy, "data", "PG_VERSION")), complaint: /PG_VERSION/ },
    "without its manifest": { spoil: (copy) => rm(join(copy, "manifest.json")), complaint: /manifest\.json/ },
    "with a garbled manifest": {
      spoil: (copy) => writeFile(join(copy, "manifest.json"), '{"pglite"'),
      complaint: /JSON/,
    },
  };
  for (const [what, { spoil, complaint }] of Object.entries(spoils)) {
    it(`leaves nothing behind when it is ${what}`, async () => {
      const target = join(folder, "target");
      const copy = await spoilt(what.replaceAll(" ", "-"), spoil);
      assert.throws(() => copyTemplate(copy, target), complaint);
      const left = await readdir(folder);
      assert.ok(!left.includes("target") && !left.includes("target.draft"));
    });
  }
});
