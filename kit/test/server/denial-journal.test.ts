import assert from "node:assert/strict";
import { appendFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileKeyProvider, type KeyProvider } from "../../keys/index.ts";
import { loadDenialJournal, openDenialJournal } from "../../server/index.ts";
import { errorLog } from "../../testing/index.ts";

const NEVER = 253_402_214_400;
const YEAR_MS = 366 * 86_400_000;

describe("the journal of denials", () => {
  let folder: string;
  let path: string;
  let keys: KeyProvider;
  let nowMs: number;
  let errors: string[];
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, bootMs: () => nowMs };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "cvlan-journal-"));
    path = join(folder, "denials");
    keys = await fileKeyProvider(join(folder, "keys", "master"));
    [nowMs, errors] = [Date.now(), []];
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const open = () => openDenialJournal({ path, keys, clock, log: errorLog(errors) });
  async function write(denials: Record<string, number>): Promise<void> {
    const journal = await open();
    await journal.keep(new Map(Object.entries(denials)));
    await journal.close();
  }
  const linesIn = async (): Promise<string[]> =>
    (await readFile(path, "utf8")).split("\n").filter((line) => line !== "");

  it("has after a restart whom it had before, each once, for its owner alone", async () => {
    const journal = await open();
    assert.equal(journal.denied.size, 0);
    await journal.keep(new Map([["spiffe://c/tenant/t/node/a", NEVER]]));
    await Promise.all([journal.keep(new Map([["apikey:b", NEVER]])), journal.keep(new Map([["apikey:b", NEVER]]))]);
    await journal.keep(new Map([["apikey:b", 7]]));
    await journal.close();
    assert.equal((await linesIn()).length, 2);
    assert.equal((await stat(path)).mode & 0o077, 0);
    const expected = new Map([
      ["spiffe://c/tenant/t/node/a", NEVER],
      ["apikey:b", NEVER],
    ]);
    assert.deepEqual((await open()).denied, expected);
    assert.deepEqual(await loadDenialJournal(path, keys), expected);
    assert.deepEqual(await loadDenialJournal(join(folder, "absent"), keys), new Map());
  });

  it("takes the later of two instants", async () => {
    await write({ a: 100 });
    await write({ a: 200 });
    await write({ a: 150 });
    assert.deepEqual((await open()).denied, new Map([["a", 200]]));
    assert.equal((await linesIn()).length, 1, "it was tidied up");
  });

  it("goes on behind a line that a crash cut anywhere", async () => {
    await write({ first: NEVER });
    const whole = await readFile(path);
    for (let length = 0; length < whole.length; length++) {
      await writeFile(path, whole.subarray(0, length));
      await write({ second: NEVER });
      const { denied } = await open();
      assert.ok(denied.has("second"));
    }
    assert.deepEqual(errors, []);
  });

  it("believes no line that was written under other keys, moved or changed", async () => {
    await write({ a: NEVER, b: 5 });
    const [first = "", second = ""] = await linesIn();
    const stranger = await fileKeyProvider(join(folder, "other", "master"));
    await appendFile(path, `${first.replace("a ", "c ")}\n${second.replace("b 5", "b 6")}\nnonsense\n`);
    assert.deepEqual(
      (await open()).denied,
      new Map([
        ["a", NEVER],
        ["b", 5],
      ]),
    );
    assert.equal(errors.length, 1);
    assert.equal((await linesIn()).length, 2, "they are gone");
    assert.deepEqual(await loadDenialJournal(path, stranger), new Map());
  });

  it("forgets what no certificate can outlive", async () => {
    await write({ old: NEVER });
    nowMs += 9 * YEAR_MS;
    await write({ young: NEVER });
    assert.equal((await open()).denied.size, 2);
    nowMs += 2 * YEAR_MS;
    assert.deepEqual([...(await open()).denied.keys()], ["young"]);
    assert.equal((await linesIn()).length, 1);
  });

  it("keeps refusing while the disk takes nothing, and writes when it does again", async () => {
    const journal = await open();
    await mkdir(path);
    await journal.keep(new Map([["a", NEVER]]));
    await journal.keep(new Map([["b", NEVER]]));
    assert.deepEqual([...journal.denied.keys()], ["a", "b"]);
    assert.equal(errors.length, 1, "told once");
    await rm(path, { recursive: true });
    await journal.keep(new Map());
    await journal.close();
    assert.deepEqual([...(await loadDenialJournal(path, keys)).keys()], ["a", "b"]);
  });
});
