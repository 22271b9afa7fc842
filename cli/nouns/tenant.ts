import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  CreateTenantResponseSchema,
  ListTenantsResponseSchema,
  RotateTenantKeysResponseSchema,
  TenantKeys,
  TenantService,
} from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { StatusSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { CvlanService, GetTenantStatsResponseSchema } from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { remote, show } from "../command.ts";
import type { Io } from "../io.ts";
import { everyPage } from "../lookup.ts";
import { ago, fields, table, word } from "../print.ts";

/** `cvlan tenant …` */
export function tenantCommands(program: Command, io: Io): void {
  const tenant = program.command("tenant").description("tenants of the installation");

  tenant
    .command("list")
    .description("list the tenants")
    .addHelpText("after", "\nExample:\n  cvlan tenant list\n")
    .action(
      remote(io, async (session, run) => {
        const tenants = await everyPage(
          (pagination) => session.client(TenantService).listTenants({ pagination }, { signal: io.signal }),
          (page) => page.tenants,
        );
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
}
