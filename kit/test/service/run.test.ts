import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { exportJWK, generateKeyPair } from "jose";
import { pemOf } from "../../pki/index.ts";
import { freePort } from "../../service/outside.ts";
import { testServer } from "../../testing/postgres.ts";
import { testAuthority } from "./authority.ts";

const main = fileURLToPath(new URL("main.ts", import.meta.url));

describe("the command of a service", function () {
  // Six processes start one after the other.
  this.timeout(300_000);
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "cvlan-run-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** Runs it to its end. */
  function run(...argv: string[]): Promise<{ code: number; stderr: string }> {
    return new Promise((resolve) => {
      execFile(process.execPath, [main, ...argv], (error, _stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code), stderr }),
      );
    });
  }
  async function configured(changes: Record<string, unknown>): Promise<string> {
    const { privateKey } = await generateKeyPair("ES256", { extractable: true });
    writeFileSync(join(folder, "root.pem"), pemOf(await (await testAuthority()).roots()));
    writeFileSync(join(folder, "provisioner.jwk"), JSON.stringify({ ...(await exportJWK(privateKey)), kid: "k" }), {
      mode: 0o600,
    });
    const url = await (await testServer()).newDatabase();
    writeFileSync(join(folder, "url"), url, { mode: 0o600 });
    const config = {
      data: "./data",
      url: "https://localhost:8443",
      listen: { address: "127.0.0.1", port: 0, names: ["localhost"] },
      store: { kind: "postgres", url_file: "./url" },
      ca: {
        url: `https://127.0.0.1:${await freePort("127.0.0.1")}`,
        root: "root.pem",
        provisioner: "cloudvlan",
        provisioner_key: "provisioner.jwk",
      },
      ...changes,
    };
    const file = join(folder, "config.yaml");
    writeFileSync(file, JSON.stringify(config));
    return file;
  }

  it("exits 64 with one line for a configuration that is wrong or absent", async () => {
    const wrong = await run("--config", await configured({ colour: "red" }));
    assert.deepEqual([wrong.code, wrong.stderr.trim().split("\n").length], [64, 1]);
    assert.match(wrong.stderr, /config\.yaml:1:\d+: colour: unknown key/);
    assert.equal((await run()).code, 64);
    assert.equal((await run("--port", "1")).code, 64);
    assert.equal((await run("--config", join(folder, "absent.yaml"))).code, 64);
  });

  it("exits 75 with the remedy when the CA or the database does not answer, and shows no password", async () => {
    const withoutCa = await run("--config", await configured({}));
    assert.equal(withoutCa.code, 75, withoutCa.stderr);
    assert.match(withoutCa.stderr, /certificate authority at https:\/\/127\.0\.0\.1:\d+ does not answer/);
    const file = await configured({});
    const port = await freePort("127.0.0.1");
    writeFileSync(join(folder, "url"), `postgres://user:tiger@127.0.0.1:${port}/db`);
    const withoutStore = await run("--config", file);
    assert.equal(withoutStore.code, 75, withoutStore.stderr);
    assert.match(withoutStore.stderr, /database/);
    assert.doesNotMatch(withoutStore.stderr, /tiger/);
  });
});
