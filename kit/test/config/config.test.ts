import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { ConfigError, loadProcessConfig, parseConfig, readSecretFile } from "../../config/index.ts";

const GOOD = `data: ./data
url: https://host:8443
listen: { address: 127.0.0.1, port: 8443, names: [localhost] }
store: { kind: pglite }
`;

describe("configuration", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "cvlan-config-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const load = (text: string) => {
    const file = join(folder, "config.yaml");
    writeFileSync(file, text);
    return loadProcessConfig(file, { auth: z.strictObject({ ttl: z.number().max(10).default(3) }) });
  };
  const problems = (text: string): string[] => {
    try {
      load(text);
    } catch (error) {
      assert.ok(error instanceof ConfigError);
      return error.message.split("\n").map((line) => line.replace(`${join(folder, "config.yaml")}:`, ""));
    }
    return assert.fail("the configuration was accepted");
  };

  it("is read with defaults, and its paths are relative to the file", () => {
    const config = load(GOOD);
    assert.equal(config.data, join(folder, "data"));
    assert.equal(config.denial_lag_seconds, 15);
    assert.deepEqual(config.endpoints, {});
  });

  it("is refused with line, column, key and remedy", () => {
    assert.deepEqual(problems(`${GOOD}colour: red\n`), ["5:1: colour: unknown key; remove it or correct its spelling"]);
    assert.deepEqual(problems(GOOD.replace("names: [localhost]", "names: [localhost], nmaes: []")), [
      "3:63: listen.nmaes: unknown key; remove it or correct its spelling",
    ]);
    assert.match(problems(GOOD.replace("8443, n", "http, n"))[0] ?? "", /^3:31: listen\.port: .*number/);
    assert.match(
      problems(GOOD.replace("https://host", "http://host"))[0] ?? "",
      /^2:1: url: must be a URL that starts with https/,
    );
    assert.match(problems(`${GOOD}data: ./other\n`)[0] ?? "", /^5:1: .*unique/);
    assert.match(problems("data: [\n")[0] ?? "", /^[12]:/);
    assert.match(problems("")[0] ?? "", /data/);
  });

  it("checks each service's part by that service's schema", () => {
    assert.deepEqual(load(`${GOOD}services: { auth: { ttl: 9 } }\n`).services, { auth: { ttl: 9 } });
    assert.match(problems(`${GOOD}services:\n  auth:\n    ttl: 11\n`)[0] ?? "", /^7:5: services\.auth\.ttl: /);
    assert.match(
      problems(`${GOOD}services:\n  auth:\n    tll: 1\n`)[0] ?? "",
      /^7:5: services\.auth\.tll: unknown key/,
    );
    assert.match(problems(`${GOOD}services:\n  policy: {}\n`)[0] ?? "", /services\.policy: .*does not run here/);
  });

  it("allows no aliases, which can make a small file large", () => {
    const bomb = "a: &a [x]\nb: *a\n";
    const schema = z.record(z.string(), z.unknown());
    assert.throws(() => parseConfig("bomb", bomb, schema), /aliases are not allowed/);
  });

  it("takes a secret only from a file of its owner's", () => {
    const file = join(folder, "secret");
    writeFileSync(file, "postgres://u:p@h/db\n", { mode: 0o600 });
    assert.equal(readSecretFile(file), "postgres://u:p@h/db");
    for (const mode of [0o640, 0o604, 0o660]) {
      chmodSync(file, mode);
      assert.throws(() => readSecretFile(file), /others may read it; run chmod 600/);
    }
    assert.throws(() => readSecretFile(join(folder, "absent")), /cannot be read \(ENOENT\)/);
    assert.throws(() => readSecretFile(folder), /not a regular file/);
  });
});
