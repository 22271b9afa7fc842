import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  CreateCvlanResponseSchema,
  CvlanService,
  DeleteCvlanResponseSchema,
  ListCvlansResponseSchema,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { remote, show } from "../command.ts";
import type { Io } from "../io.ts";
import { byName } from "../lookup.ts";
import { ago, table } from "../print.ts";
import { listCvlans } from "../session.ts";

/** `cvlan cvlan …` */
export function cvlanCommands(program: Command, io: Io): void {
  const cvlan = program.command("cvlan").description("private networks of a tenant");

  cvlan
    .command("list")
    .description("list the networks")
    .action(
      remote(io, async (session, run) => {
        const cvlans = await listCvlans(session, io);
        show(run, ListCvlansResponseSchema, create(ListCvlansResponseSchema, { cvlans }), () =>
          table(
            ["NAME", "IPV4", "IPV6", "ID", "CREATED"],
            cvlans.map((each) => [
              each.name,
              each.ipv4Pool,
              each.ipv6Prefix,
              each.id,
              ago(each.provenance?.createdAt, io.clock.nowMs()),
            ]),
          ),
        );
      }),
    );

  cvlan
    .command("create <name>")
    .description("make a network")
    .option("--ipv4-pool <cidr>", "addresses of its nodes, /8 to /30 (default 100.64.0.0/10)")
    .addHelpText("after", "\nExample:\n  cvlan cvlan create office --ipv4-pool 10.20.0.0/16\n")
    .action(
      remote<{ ipv4Pool?: string }>(io, async (session, run) => {
        const tenantId = await session.tenantId();
        const request = { tenantId, name: run.args[0] ?? "", ipv4Pool: run.options.ipv4Pool ?? "" };
        const response = await session.client(CvlanService).createCvlan(request, { signal: io.signal });
        const made = response.cvlan;
        show(
          run,
          CreateCvlanResponseSchema,
          response,
          () => `${made?.name} ${made?.ipv4Pool} ${made?.ipv6Prefix} ${made?.id}\n`,
        );
      }),
    );

  cvlan
    .command("delete <name>")
    .description("delete a network that has no nodes")
    .action(
      remote(io, async (session, run) => {
        const found = byName("cvlan", await listCvlans(session, io), run.args[0] ?? "");
        const request = { tenantId: found.tenantId, cvlanId: found.id };
        const response = await session.client(CvlanService).deleteCvlan(request, { signal: io.signal });
        show(run, DeleteCvlanResponseSchema, response, () => `${found.name} is deleted\n`);
      }),
    );
}
