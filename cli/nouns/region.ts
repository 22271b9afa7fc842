import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import type { Region } from "@cloudvlan/gen/entity/v1/region_pb.js";
import {
  CreateRegionResponseSchema,
  DeleteRegionResponseSchema,
  GetRegionResponseSchema,
  ListRegionsResponseSchema,
  RegionService,
  UpdateRegionResponseSchema,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { remote, show } from "../command.ts";
import type { Io } from "../io.ts";
import { byName, everyPage } from "../lookup.ts";
import { ago, fields, table } from "../print.ts";
import type { Session } from "../session.ts";

/** `cvlan region …` */
export function regionCommands(program: Command, io: Io): void {
  const region = program.command("region").description("places of the installation; for keys of the platform");

  region
    .command("list")
    .description("list the regions")
    .addHelpText("after", "\nExample:\n  cvlan region list\n")
    .action(
      remote(io, async (session, run) => {
        const regions = await listRegions(session, io);
        show(run, ListRegionsResponseSchema, create(ListRegionsResponseSchema, { regions }), () =>
          table(
            ["NAME", "DISPLAY NAME", "ID"],
            regions.map(({ name, displayName, id }) => [name, displayName, id]),
          ),
        );
      }),
    );

  region
    .command("show <name>")
    .description("everything about one region")
    .addHelpText("after", "\nExample:\n  cvlan region show eu-west\n")
    .action(
      remote(io, async (session, run) => {
        const regionId = await findRegionId(session, io, run.args[0]);
        const response = await session.client(RegionService).getRegion({ regionId }, { signal: io.signal });
        const found = response.region;
        show(run, GetRegionResponseSchema, response, () =>
          fields([
            ["name", found?.name ?? ""],
            ["display name", found?.displayName ?? ""],
            ["id", regionId],
            ["created", ago(found?.provenance?.createdAt, io.clock.nowMs())],
          ]),
        );
      }),
    );

  region
    .command("create <name>")
    .description("make a region")
    .option("--display-name <text>", "name for people")
    .addHelpText("after", "\nExample:\n  cvlan region create eu-west --display-name 'Western Europe'\n")
    .action(
      remote<{ displayName?: string }>(io, async (session, run) => {
        const request = { name: run.args[0] ?? "", displayName: run.options.displayName ?? "" };
        const response = await session.client(RegionService).createRegion(request, { signal: io.signal });
        show(run, CreateRegionResponseSchema, response, () => `${response.region?.name} ${response.region?.id}\n`);
      }),
    );

  region
    .command("update <name>")
    .description("give a region other names")
    .option("--name <name>", "new name")
    .option("--display-name <text>", "new name for people")
    .addHelpText("after", "\nExample:\n  cvlan region update eu-west --name eu-north\n")
    .action(
      remote<{ name?: string; displayName?: string }>(io, async (session, run) => {
        const { name, displayName } = run.options;
        const request = {
          regionId: await findRegionId(session, io, run.args[0]),
          ...(name !== undefined && { name }),
          ...(displayName !== undefined && { displayName }),
        };
        const response = await session.client(RegionService).updateRegion(request, { signal: io.signal });
        const made = response.region;
        show(run, UpdateRegionResponseSchema, response, () => `${made?.name} ${made?.displayName}\n`);
      }),
    );

  region
    .command("delete <name>")
    .description("delete a region")
    .addHelpText("after", "\nExample:\n  cvlan region delete eu-west\n")
    .action(
      remote(io, async (session, run) => {
        const regionId = await findRegionId(session, io, run.args[0]);
        const response = await session.client(RegionService).deleteRegion({ regionId }, { signal: io.signal });
        show(run, DeleteRegionResponseSchema, response, () => `${run.args[0]} is deleted\n`);
      }),
    );
}

export async function findRegionId(session: Session, io: Io, name = ""): Promise<string> {
  return byName("region", await listRegions(session, io), name).id;
}

export async function listRegions(session: Session, io: Io): Promise<Region[]> {
  return await everyPage(
    (pagination) => session.client(RegionService).listRegions({ pagination }, { signal: io.signal }),
    (page) => page.regions,
  );
}
