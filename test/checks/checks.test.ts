import assert from "node:assert/strict";
import { mkdir, mkdtempDisposable, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { bytesOf } from "@cloudvlan/infra/checks/command";
import { breakingProblems, protoProblems } from "@cloudvlan/infra/checks/contract";
import { driftProblems } from "@cloudvlan/infra/checks/drift";
import { importProblems } from "@cloudvlan/infra/checks/imports";
import { generatorsOf } from "@cloudvlan/infra/gen/generate";
import { mergeProblems } from "@cloudvlan/infra/checks/merges";
import { rpcProblems } from "@cloudvlan/infra/checks/rpcs";
import { copyOfContract, copyOfSources, root } from "./copy.ts";

const TENANT = "protodefs/cloudvlan/entity/v1/tenant.proto";
const AUTH = "protodefs/cloudvlan/auth/v1/auth.proto";

describe("a proto change that breaks a client", () => {
  it("passes before the change", async () => {
    await using copy = await copyOfContract();
    assert.deepEqual(await breakingProblems(copy.root), []);
  });

  it("fails when a field changes its type", async () => {
    await using copy = await copyOfContract();
    await copy.edit(AUTH, "uint32 ttl_seconds = 4", "string ttl_seconds = 4");
    assert.match((await breakingProblems(copy.root)).join("\n"), /ttl_seconds/);
  });

  it("fails when a message goes", async () => {
    await using copy = await copyOfContract();
    await copy.edit(AUTH, "message DenyResponse {\n  uint64 revision = 1;\n}", "message DenyResponse {}");
    assert.match((await breakingProblems(copy.root)).join("\n"), /DenyResponse/);
  });

  it("fails when the baseline moves without a line that says why", async () => {
    await using copy = await copyOfContract();
    await copy.edit(
      AUTH,
      "message GetContextKeysRequest {}",
      "message GetContextKeysRequest {\n  string extra = 1;\n}",
    );
    await bytesOf(["buf", "build", "protodefs", "--exclude-source-info", "-o", "protodefs/baseline.binpb"], copy.root);
    assert.match((await breakingProblems(copy.root)).join("\n"), /was moved: add a line/);
  });
});

describe("an edited generated file", () => {
  const generators = generatorsOf(root, process.env.CLOUDVLAN_PYTHON);

  it("passes before the edit", async () => {
    await using copy = await copyOfContract();
    assert.deepEqual(await driftProblems(copy.root, generators), []);
  });

  it("fails in every language", async () => {
    const files = [
      "gen/ts/src/cloudvlan/auth/v1/auth_pb.d.ts",
      "gen/rust/src/lib.rs",
      "gen/go/cloudvlan/auth/v1/auth.pb.go",
      "gen/python/src/cloudvlan/auth/v1/auth_pb2.py",
    ];
    await using copy = await copyOfContract();
    for (const file of files) await copy.edit(file, "a", "A");
    assert.deepEqual(
      await driftProblems(copy.root, generators),
      files.map((file) => `${file} is not what the protos give: generate it, never edit it`),
    );
  });

  it("fails when one is missing and when the protos changed", async () => {
    await using copy = await copyOfContract();
    await rm(join(copy.root, "gen/ts/src/cloudvlan/policy/v1/policy_pb.js"));
    await copy.edit(
      AUTH,
      "message GetContextKeysRequest {}",
      "message GetContextKeysRequest {\n  string extra = 1;\n}",
    );
    const problems = (await driftProblems(copy.root, generators)).join("\n");
    assert.match(problems, /policy_pb\.js is missing/);
    assert.match(problems, /auth_pb\.js is not what the protos give/);
  });
});

describe("an RPC without a permission", () => {
  it("passes before the change", async () => {
    await using copy = await copyOfContract();
    assert.deepEqual(await rpcProblems(copy.root), []);
  });

  it("fails without the option", async () => {
    await using copy = await copyOfContract();
    await copy.edit(
      AUTH,
      `  rpc CreateTenant(CreateTenantRequest) returns (CreateTenantResponse) {
    option (cloudvlan.options.v1.access) = {
      permission: PERMISSION_TENANT_WRITE
      scope: SCOPE_PLATFORM
      once: true
    };
  }`,
      "  rpc CreateTenant(CreateTenantRequest) returns (CreateTenantResponse);",
    );
    assert.deepEqual(await rpcProblems(copy.root), [
      "cloudvlan.auth.v1.TenantService/CreateTenant has no access option: say who may call it, with which permission",
    ]);
  });

  for (const [field, from, complaint] of [
    ["permission", "      permission: PERMISSION_TENANT_WRITE\n", /CreateTenant has no permission/],
    ["scope", "      scope: SCOPE_PLATFORM\n", /CreateTenant has no scope/],
    ["idempotency", "      once: true\n", /CreateTenant must say either `once` or an idempotency_level/],
  ] as const) {
    it(`fails without a ${field}`, async () => {
      await using copy = await copyOfContract();
      await copy.edit(AUTH, from, "");
      assert.match((await rpcProblems(copy.root)).join("\n"), complaint);
    });
  }
});

describe("a proto against the style", () => {
  it("fails", async () => {
    await using copy = await copyOfContract();
    assert.deepEqual(await protoProblems(copy.root), []);
    await copy.edit(TENANT, "string name", "string Name");
    assert.match((await protoProblems(copy.root)).join("\n"), /lower_snake_case/);
  });
});

/** Puts a line at the top of a source; one that is not there is made. */
async function prepend(path: string, line: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const text = await readFile(path, "utf8").catch(() => "");
  await writeFile(path, `${line}\n${text}`);
}

describe("marks that a merge left", () => {
  it("are found where they stand, and nothing else", async () => {
    assert.deepEqual(await mergeProblems(root), []);
    await using folder = await mkdtempDisposable(join(tmpdir(), "cv-merge-"));
    await bytesOf(["git", "init", "--quiet"], folder.path);
    const marks = ["<<<<<<< HEAD", "one", "=======", "other", ">>>>>>> branch", ""];
    await writeFile(join(folder.path, "README.md"), marks.join("\n"));
    await writeFile(join(folder.path, "title.md"), "A title\n========\n");
    await bytesOf(["git", "add", "."], folder.path);
    assert.deepEqual(
      (await mergeProblems(folder.path)).map((line) => line.split(":").slice(0, 2).join(":")),
      ["README.md:1", "README.md:3", "README.md:5"],
    );
  });
});

describe("an import against the direction", () => {
  const cases: readonly [title: string, file: string, line: string, complaint: RegExp][] = [
    ["kit on a service", "kit/clock/index.ts", 'import "@cloudvlan/auth";', /kit may import kit, gen/],
    [
      "a service on a service",
      "services/auth/service.ts",
      'import "@cloudvlan/registry";',
      /auth may import auth, gen, kit/,
    ],
    ["the agent on a service", "agent/agent.ts", 'export * from "@cloudvlan/netmap";', /agent may import/],
    [
      "the CLI on the database",
      "cli/main.ts",
      'import { openStore } from "@cloudvlan/kit/db";',
      /cli may import kit\/client/,
    ],
    ["a domain on the disk", "services/registry/domain/pool.ts", 'import "node:fs";', /no input or output/],
    ["across parts by a path", "kit/clock/index.ts", 'import "../../agent/agent.ts";', /by its package name/],
    ["a service on what tests share", "services/auth/service.ts", 'import "@cloudvlan/kit/testing";', /only tests may/],
    ["dynamically", "kit/clock/index.ts", `await import(${JSON.stringify("@cloudvlan/cli")});`, /kit may import/],
  ];

  it("passes before the change", async () => {
    await using copy = await copyOfSources();
    assert.deepEqual(await importProblems(copy.root), []);
  });

  for (const [title, file, line, complaint] of cases) {
    it(`fails: ${title}`, async () => {
      await using copy = await copyOfSources();
      const before = await importProblems(copy.root);
      await prepend(join(copy.root, file), line);
      const problems = (await importProblems(copy.root)).filter((problem) => !before.includes(problem));
      assert.equal(problems.length, 1, problems.join("\n"));
      assert.match(problems[0] ?? "", complaint);
    });
  }
});
