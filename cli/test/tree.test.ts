import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { systemClock } from "@cloudvlan/kit/clock";
import type { Command } from "commander";
import { everyCommand, program } from "../program.ts";
import { cvlan } from "./installation.ts";

const run = promisify(execFile);

const root = program({
  out: () => undefined,
  err: () => undefined,
  stdin: () => Promise.resolve(undefined),
  terminal: false,
  clock: systemClock,
  configHome: "/nonexistent",
  signal: new AbortController().signal,
});

function pathOf(command: Command): string[] {
  return command.parent ? [...pathOf(command.parent), command.name()] : [];
}

const commands = everyCommand(root).filter((command) => command !== root);
const leaves = commands.filter((command) => command.commands.length === 0);

/** Whether a shell is on this machine. */
async function has(shell: string): Promise<boolean> {
  return await run(shell, ["-c", "true"]).then(
    () => true,
    () => false,
  );
}

const [zsh, fish] = await Promise.all([has("zsh"), has("fish")]);

describe("every command", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "cvlan-tree-"));
  });
  after(() => rm(folder, { recursive: true }));

  for (const command of commands) {
    it(`has a description: ${pathOf(command).join(" ")}`, async () => {
      assert.notEqual(command.description(), "");
      const { code, out } = await cvlan([...pathOf(command), "--help"]);
      assert.equal(code, 0);
      assert.match(out, /\nExit codes: 0 ok/);
      for (const option of command.options) assert.notEqual(option.description, "", option.flags);
    });
  }

  for (const command of leaves) {
    const path = pathOf(command);
    const name = path.join(" ");
    it(`has an example that is a command line of it: ${name}`, async () => {
      const { out } = await cvlan([...path, "--help"]);
      const [, examples = ""] = out.split(/\nExamples?[^\n]*:\n/);
      assert.match(examples, /^ {2}\S/, `${name} has no example`);
      if (!examples.startsWith("  rules:"))
        assert.ok(examples.includes(`cvlan ${name}`), `${name} shows another command`);
    });

    it(`answers with one JSON document under --json: ${name}`, async () => {
      const args = command.registeredArguments.map(({ argChoices }) => argChoices?.[0] ?? "x");
      const out = name === "debug bundle" ? ["--out", join(folder, "bundle.tar.gz")] : [];
      const ran = await cvlan([...path, ...args, ...out, "--json", "--state", join(folder, "none")]);
      const documents = [ran.out, ran.err].filter((text) => text !== "");
      assert.ok(documents.length > 0);
      for (const text of documents) assert.equal(typeof JSON.parse(text), "object", text);
    });
  }

  it("is found among its kind, and a misspelt one is told the right one", async () => {
    const { out } = await cvlan(["help"]);
    const groups = ["This machine:", "Installation:", "This tool:"].map((title) => out.indexOf(`\n${title}\n`));
    assert.ok(groups.every((at) => at > 0));
    assert.deepEqual(
      groups,
      groups.toSorted((a, b) => a - b),
    );
    const [machine = "", installation = ""] = out.split(/\nThis machine:|\nInstallation:|\nThis tool:/).slice(1);
    assert.match(machine, /\n {2}doctor /);
    assert.match(installation, /\n {2}tenant /);
    const plain = await cvlan(["statsu"]);
    assert.equal(plain.code, 2);
    assert.match(plain.err, /Did you mean status\?/);
    const json = await cvlan(["node", "lst", "--json"]);
    assert.match((JSON.parse(json.err) as { error: { message: string } }).error.message, /Did you mean list\?/);
  });
});

describe("completion", function () {
  this.timeout(60_000);
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "cvlan-completion-"));
    await writeFile(join(folder, "policy.yaml"), "");
  });
  after(() => rm(folder, { recursive: true }));

  const script = async (shell: string): Promise<string> => {
    const path = join(folder, shell);
    await writeFile(path, (await cvlan(["completion", shell])).out);
    return path;
  };

  it("completes commands, options, choices and files in bash, at every place", async () => {
    const source = await script("bash");
    const complete = async (line: string): Promise<string[]> => {
      const words = line.split(" ");
      const setup = `COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}`;
      const bash = `set -eu; source "$1"; ${setup}; _cvlan 2>&1; printf '%s\\n' "\${COMPREPLY[@]-}"`;
      const { stdout } = await run("bash", ["--norc", "-c", bash, "bash", source], { cwd: folder });
      return stdout.split("\n").filter((word) => word !== "");
    };
    assert.deepEqual(await complete("cvlan sta"), ["status"]);
    assert.deepEqual(await complete("cvlan node re"), ["rename", "revoke"]);
    assert.deepEqual(await complete("cvlan --state /x --json node sh"), ["show"]);
    assert.deepEqual(await complete("cvlan token create --kind "), ["agent", "relay", "vrouter"]);
    assert.deepEqual(await complete("cvlan completion z"), ["zsh"]);
    assert.deepEqual(await complete("cvlan status --wa"), ["--watch"]);
    assert.deepEqual(await complete("cvlan policy apply pol"), ["policy.yaml"]);
    assert.deepEqual(await complete("cvlan --ca pol"), ["policy.yaml"]);
    assert.deepEqual(await complete("cvlan --tenant "), []);
    // A value that is called like a command does not lead there.
    assert.deepEqual(await complete("cvlan --tenant node sta"), ["status"]);
    for (const command of commands) {
      const path = pathOf(command);
      const offered = await complete(["cvlan", ...path].join(" "));
      assert.ok(offered.includes(command.name()), path.join(" "));
    }
    for (const command of [root, ...commands]) {
      const flags = [...command.options, ...root.options].flatMap(({ long }) => long ?? []);
      const offered = await complete(["cvlan", ...pathOf(command), "--"].join(" "));
      for (const flag of flags) assert.ok(offered.includes(flag), `${pathOf(command).join(" ")} ${flag}`);
    }
  });

  (zsh ? it : it.skip)("is understood by zsh (needs zsh)", async () => {
    await run("zsh", ["-f", "-n", await script("zsh")]);
  });

  (fish ? it : it.skip)("is understood by fish (needs fish)", async () => {
    const source = await script("fish");
    await run("fish", ["--no-config", "--no-execute", source]);
    const ask = `source ${source}; complete -C 'cvlan node re'`;
    const { stdout } = await run("fish", ["--no-config", "-c", ask]);
    assert.deepEqual(
      stdout
        .split("\n")
        .map((line) => line.split("\t")[0])
        .filter(Boolean),
      ["rename", "revoke"],
    );
  });
});
