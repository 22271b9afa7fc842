import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import type { Cvlan } from "@cloudvlan/gen/entity/v1/cvlan_pb.js";
import {
  CreateCvlanResponseSchema,
  CvlanService,
  DeleteCvlanResponseSchema,
  GetCvlanResponseSchema,
  ListCvlansResponseSchema,
  UpdateCvlanResponseSchema,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { remote, show } from "../command.ts";
import type { Io } from "../io.ts";
import { byName } from "../lookup.ts";
import { ago, fields, table } from "../print.ts";
import { listCvlans, type Session } from "../session.ts";

/** `cvlan cvlan …` */
export function cvlanCommands(program: Command, io: Io): void {
  const cvlan = program.command("cvlan").description("private networks of a tenant");

  cvlan
    .command("list")
    .description("list the networks")
    .addHelpText("after", "\nExample:\n  cvlan cvlan list --tenant acme\n")
    .action(
      remote(io, async (session, run) => {
        const cvlans = await listCvlans(session, io);
        show(run, ListCvlansResponseSchema, create(ListCvlansResponseSchema, { cvlans }), () =>
          table(
            ["NAME", "IPV4", "IPV6", "DOMAIN", "ID", "CREATED"],
            cvlans.map((each) => [
              each.name,
              each.ipv4Pool,
              each.ipv6Prefix,
              each.dnsDomain,
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
    .option("--domain <domain>", "DNS domain of its nodes (default <name>.cvlan.internal)")
    .addHelpText(
      "after",
      "\nExample:\n  cvlan cvlan create office --ipv4-pool 10.20.0.0/16 --domain office.example.com\n",
    )
    .action(
      remote<{ ipv4Pool?: string; domain?: string }>(io, async (session, run) => {
        const tenantId = await session.tenantId();
        const { ipv4Pool = "", domain: dnsDomain = "" } = run.options;
        const request = { tenantId, name: run.args[0] ?? "", ipv4Pool, dnsDomain };
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
    .command("show <name>")
    .description("everything about one network")
    .addHelpText("after", "\nExample:\n  cvlan cvlan show office\n")
    .action(
      remote(io, async (session, run) => {
        const { tenantId, id: cvlanId } = await findCvlan(session, io, run.args[0]);
        const response = await session.client(CvlanService).getCvlan({ tenantId, cvlanId }, { signal: io.signal });
        const { cvlan: found, stats } = response;
        show(run, GetCvlanResponseSchema, response, () =>
          fields([
            ["name", found?.name ?? ""],
            ["id", cvlanId],
            ["domain", found?.dnsDomain ?? ""],
            ["ipv4", found?.ipv4Pool ?? ""],
            ["ipv6", found?.ipv6Prefix ?? ""],
            ["nodes", String(stats?.nodes ?? 0n)],
            ["ipv4 addresses", `${stats?.ipv4Addresses?.used ?? 0n} of ${stats?.ipv4Addresses?.total ?? 0n}`],
            ["created", ago(found?.provenance?.createdAt, io.clock.nowMs())],
          ]),
        );
      }),
    );

  cvlan
    .command("rename <name> <new-name>")
    .description("give a network another name; its DNS domain stays")
    .addHelpText("after", "\nExample:\n  cvlan cvlan rename office branch\n")
    .action(
      remote(io, async (session, run) => {
        const { tenantId, id: cvlanId, name } = await findCvlan(session, io, run.args[0]);
        const request = { tenantId, cvlanId, name: run.args[1] ?? "" };
        const response = await session.client(CvlanService).updateCvlan(request, { signal: io.signal });
        show(run, UpdateCvlanResponseSchema, response, () => `${name} is now ${response.cvlan?.name}\n`);
      }),
    );

  cvlan
    .command("set-domain <name> [domain]")
    .description("give the nodes of a network another DNS domain; without one, <name>.cvlan.internal")
    .addHelpText("after", "\nExample:\n  cvlan cvlan set-domain office office.example.com\n")
    .action(
      remote(io, async (session, run) => {
        const { tenantId, id: cvlanId, name } = await findCvlan(session, io, run.args[0]);
        const request = { tenantId, cvlanId, dnsDomain: run.args[1] ?? "" };
        const response = await session.client(CvlanService).updateCvlan(request, { signal: io.signal });
        show(
          run,
          UpdateCvlanResponseSchema,
          response,
          () => `nodes of ${name} are <node>.${response.cvlan?.dnsDomain}\n`,
        );
      }),
    );

  cvlan
    .command("delete <name>")
    .description("delete a network that has no nodes")
    .addHelpText("after", "\nExample:\n  cvlan cvlan delete office\n")
    .action(
      remote(io, async (session, run) => {
        const found = await findCvlan(session, io, run.args[0]);
        const request = { tenantId: found.tenantId, cvlanId: found.id };
        const response = await session.client(CvlanService).deleteCvlan(request, { signal: io.signal });
        show(run, DeleteCvlanResponseSchema, response, () => `${found.name} is deleted\n`);
      }),
    );
}

async function findCvlan(session: Session, io: Io, name = ""): Promise<Cvlan> {
  return byName("cvlan", await listCvlans(session, io), name);
}
