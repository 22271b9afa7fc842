import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  CreateTenantResponseSchema,
  DeleteTenantResponseSchema,
  GetTenantResponseSchema,
  type KeyRotation,
  KeyRotationStageSchema,
  ListKeyRotationsResponseSchema,
  ListTenantsResponseSchema,
  RotateTenantKeysResponseSchema,
  TenantKeys,
  TenantService,
  UpdateTenantResponseSchema,
} from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { Status, StatusSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { KeyRoleSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import type { Tenant } from "@cloudvlan/gen/entity/v1/tenant_pb.js";
import { CvlanService, GetTenantStatsResponseSchema } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { remote, show } from "../command.ts";
import { UsageError } from "../exit.ts";
import type { Io } from "../io.ts";
import { byName, everyPage } from "../lookup.ts";
import { ago, fields, table, word } from "../print.ts";
import type { Session } from "../session.ts";

/** What signs for a tenant besides the root key, by the word for it. */
const DELEGATED: ReadonlyMap<string, TenantKeys> = new Map([
  ["enrol", TenantKeys.ENROL],
  ["policy", TenantKeys.POLICY],
  ["map", TenantKeys.MAP],
]);

/** `cvlan tenant …` */
export function tenantCommands(program: Command, io: Io): void {
  const tenant = program.command("tenant").description("tenants of the installation");

  tenant
    .command("list")
    .description("list the tenants")
    .option("--deleted", "those that were deleted too")
    .addHelpText("after", "\nExample:\n  cvlan tenant list\n")
    .action(
      remote<{ deleted?: boolean }>(io, async (session, run) => {
        const tenants = await listTenants(session, io, run.options.deleted);
        show(run, ListTenantsResponseSchema, create(ListTenantsResponseSchema, { tenants }), () =>
          table(
            ["NAME", "STATUS", "ID", "CREATED"],
            tenants.map((each) => [
              each.name,
              word(StatusSchema.value[each.status]?.localName),
              each.id,
              ago(each.provenance?.createdAt, io.clock.nowMs()),
            ]),
          ),
        );
      }),
    );

  tenant
    .command("create <name>")
    .description("make a tenant with its own root key")
    .addHelpText("after", "\nExample:\n  cvlan tenant create acme\n")
    .action(
      remote(io, async (session, run) => {
        const request = { name: run.args[0] ?? "" };
        const response = await session.client(TenantService).createTenant(request, { signal: io.signal });
        show(run, CreateTenantResponseSchema, response, () => `${response.tenant?.name} ${response.tenant?.id}\n`);
      }),
    );

  tenant
    .command("show <tenant>")
    .description("everything about one tenant, by name or id")
    .addHelpText("after", "\nExample:\n  cvlan tenant show acme\n")
    .action(
      remote(io, async (session, run) => {
        const { id: tenantId } = byName("tenant", await listTenants(session, io, true), run.args[0] ?? "");
        const response = await session.client(TenantService).getTenant({ tenantId }, { signal: io.signal });
        const found = response.tenant;
        show(run, GetTenantResponseSchema, response, () =>
          fields([
            ["name", found?.name ?? ""],
            ["id", tenantId],
            ["status", word(StatusSchema.value[found?.status ?? Status.UNSPECIFIED]?.localName)],
            ["revision", String(found?.revision ?? 0n)],
            ["root key", Buffer.from(found?.rootKeySha256 ?? []).toString("hex")],
            ["created", ago(found?.provenance?.createdAt, io.clock.nowMs())],
            ["changed", ago(found?.provenance?.updatedAt, io.clock.nowMs())],
          ]),
        );
      }),
    );

  tenant
    .command("rename <tenant> <new-name>")
    .description("give a tenant another name")
    .addHelpText("after", "\nExample:\n  cvlan tenant rename acme acme-europe\n")
    .action(
      remote(io, async (session, run) => {
        const { id: tenantId, name } = await findTenant(session, io, run.args[0]);
        const request = { tenantId, name: run.args[1] ?? "" };
        const response = await session.client(TenantService).updateTenant(request, { signal: io.signal });
        show(run, UpdateTenantResponseSchema, response, () => `${name} is now ${response.tenant?.name}\n`);
      }),
    );

  const setStatus = (verb: string, status: Status, description: string, becomes: string) =>
    tenant
      .command(`${verb} <tenant>`)
      .description(description)
      .addHelpText("after", `\nExample:\n  cvlan tenant ${verb} acme\n`)
      .action(
        remote(io, async (session, run) => {
          const { id: tenantId, name } = await findTenant(session, io, run.args[0]);
          const request = { tenantId, status };
          const response = await session.client(TenantService).updateTenant(request, { signal: io.signal });
          show(run, UpdateTenantResponseSchema, response, () => `${name} ${becomes}\n`);
        }),
      );
  setStatus(
    "suspend",
    Status.SUSPENDED,
    "refuse the keys of a tenant and part its nodes, until it is resumed",
    "is suspended: its keys are refused, its nodes have no peers",
  );
  setStatus("resume", Status.ACTIVE, "let a suspended tenant go on as it was", "is active again");

  tenant
    .command("delete <tenant>")
    .description("end a suspended tenant for good, with its networks, nodes and keys")
    .addHelpText("after", "\nExample:\n  cvlan tenant suspend acme && cvlan tenant delete acme\n")
    .action(
      remote(io, async (session, run) => {
        const { id: tenantId, name, revision } = await findTenant(session, io, run.args[0]);
        const request = { tenantId, baseRevision: revision };
        const response = await session.client(TenantService).deleteTenant(request, { signal: io.signal });
        show(
          run,
          DeleteTenantResponseSchema,
          response,
          () => `${name} is deleted; its machines are refused for good\n`,
        );
      }),
    );

  tenant
    .command("stats")
    .description("how many networks and nodes a tenant has")
    .addHelpText("after", "\nExample:\n  cvlan tenant stats --tenant acme\n")
    .action(
      remote(io, async (session, run) => {
        const tenantId = await session.tenantId();
        const response = await session.client(CvlanService).getTenantStats({ tenantId }, { signal: io.signal });
        show(run, GetTenantStatsResponseSchema, response, () =>
          fields([
            ["networks", String(response.stats?.cvlans ?? 0n)],
            ["nodes", String(response.stats?.nodes ?? 0n)],
          ]),
        );
      }),
    );

  tenant
    .command("rotate-root")
    .description("replace the root key of the tenant; its nodes follow, and join strings stay good")
    .addHelpText("after", "\nExample:\n  cvlan tenant rotate-root --tenant acme\n")
    .action(
      remote(io, async (session, run) => {
        const request = { tenantId: await session.tenantId(), which: TenantKeys.ROOT };
        const response = await session.client(TenantService).rotateTenantKeys(request, { signal: io.signal });
        show(
          run,
          RotateTenantKeysResponseSchema,
          response,
          () => `${response.tenant?.name} has a new root key; nodes follow with keyset ${response.keysetVersion}\n`,
        );
      }),
    );

  tenant
    .command("rotate-key <role>")
    .description("replace the key that signs nodes (enrol), rules (policy) or maps (map); it is done in the background")
    .addHelpText(
      "after",
      "\nRepeated, it goes on with what is under way; `cvlan tenant rotations` says how far it is.\nExample:\n  cvlan tenant rotate-key enrol --tenant acme\n",
    )
    .action(
      remote(io, async (session, run) => {
        const which = DELEGATED.get(run.args[0] ?? "");
        if (which === undefined)
          throw new UsageError(`there is no key for ${run.args[0]}`, `name one of ${[...DELEGATED.keys()].join(", ")}`);
        const request = { tenantId: await session.tenantId(), which };
        const response = await session.client(TenantService).rotateTenantKeys(request, { signal: io.signal });
        show(run, RotateTenantKeysResponseSchema, response, () =>
          rotationsTable(response.rotation ? [response.rotation] : [], io.clock.nowMs()),
        );
      }),
    );

  tenant
    .command("rotations")
    .description("how far the replacement of keys is, the latest of each role")
    .addHelpText("after", "\nExample:\n  cvlan tenant rotations --tenant acme\n")
    .action(
      remote(io, async (session, run) => {
        const tenantId = await session.tenantId();
        const response = await session.client(TenantService).listKeyRotations({ tenantId }, { signal: io.signal });
        show(run, ListKeyRotationsResponseSchema, response, () => rotationsTable(response.rotations, io.clock.nowMs()));
      }),
    );
}

function rotationsTable(rotations: readonly KeyRotation[], nowMs: number): string {
  return table(
    ["ROLE", "STAGE", "LEFT", "STARTED", "KEY"],
    rotations.map(({ role, stage, left, startedAt, keyId }) => [
      word(KeyRoleSchema.value[role]?.localName),
      word(KeyRotationStageSchema.value[stage]?.localName),
      String(left),
      ago(startedAt, nowMs),
      keyId,
    ]),
  );
}

function listTenants(session: Session, io: Io, showDeleted = false): Promise<Tenant[]> {
  return everyPage(
    (pagination) => session.client(TenantService).listTenants({ pagination, showDeleted }, { signal: io.signal }),
    (page) => page.tenants,
  );
}

async function findTenant(session: Session, io: Io, wanted = ""): Promise<Tenant> {
  return byName("tenant", await listTenants(session, io), wanted);
}
