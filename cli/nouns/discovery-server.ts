import { create } from "@bufbuild/protobuf";
import { type Command, Option } from "commander";
import type { DiscoveryServer } from "@cloudvlan/gen/entity/v1/discovery_server_pb.js";
import {
  CreateDiscoveryServerResponseSchema,
  DeleteDiscoveryServerResponseSchema,
  DiscoveryServerService,
  GetDiscoveryServerResponseSchema,
  ListDiscoveryServersResponseSchema,
  UpdateDiscoveryServerResponseSchema,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { collect, splitDestination } from "../args.ts";
import { remote, show } from "../command.ts";
import type { Io } from "../io.ts";
import { byName, everyPage } from "../lookup.ts";
import { ago, endpointText, fields, table } from "../print.ts";
import type { Session } from "../session.ts";
import { findRegionId, listRegions } from "./region.ts";

/** Where STUN is answered unless somebody says otherwise (RFC 8489 section 18.6). */
const STUN_PORT = 3478;

const ENDPOINT = "--endpoint <address[:port]>";

/** `cvlan discovery-server …` */
export function discoveryServerCommands(program: Command, io: Io): void {
  const server = program
    .command("discovery-server")
    .description("servers that tell nodes their public address (STUN); for keys of the platform");

  server
    .command("list")
    .description("list the discovery servers")
    .addHelpText("after", "\nExample:\n  cvlan discovery-server list\n")
    .action(
      remote(io, async (session, run) => {
        const discoveryServers = await listServers(session, io);
        const regionOf = run.options.json ? new Map<string, string>() : await regionNames(session, io);
        show(
          run,
          ListDiscoveryServersResponseSchema,
          create(ListDiscoveryServersResponseSchema, { discoveryServers }),
          () =>
            table(
              ["NAME", "REGION", "ENDPOINTS", "ID"],
              discoveryServers.map(({ name, regionId, endpoints, id }) => [
                name,
                regionOf.get(regionId) ?? regionId,
                endpoints.map(endpointText).join(", "),
                id,
              ]),
            ),
        );
      }),
    );

  server
    .command("show <name>")
    .alias("get")
    .description("everything about one discovery server")
    .addHelpText("after", "\nExample:\n  cvlan discovery-server show stun-1\n")
    .action(
      remote(io, async (session, run) => {
        const discoveryServerId = await findServerId(session, io, run.args[0]);
        const client = session.client(DiscoveryServerService);
        const response = await client.getDiscoveryServer({ discoveryServerId }, { signal: io.signal });
        const { name = "", regionId = "", endpoints = [], provenance } = response.discoveryServer ?? {};
        const regionOf = run.options.json ? new Map<string, string>() : await regionNames(session, io);
        show(run, GetDiscoveryServerResponseSchema, response, () =>
          fields([
            ["name", name],
            ["region", regionOf.get(regionId) ?? regionId],
            ["endpoints", endpoints.map(endpointText).join(", ")],
            ["id", discoveryServerId],
            ["created", ago(provenance?.createdAt, io.clock.nowMs())],
            ["changed", ago(provenance?.updatedAt, io.clock.nowMs())],
          ]),
        );
      }),
    );

  server
    .command("create <name>")
    .description("have every node know a discovery server")
    .addOption(new Option("--region <name>", "where it stands").makeOptionMandatory())
    .addOption(
      new Option(ENDPOINT, `where it answers, port ${STUN_PORT} unless named; may be repeated, up to four`)
        .argParser(collect)
        .makeOptionMandatory(),
    )
    .addHelpText(
      "after",
      "\nExample:\n  cvlan discovery-server create stun-1 --region eu-west --endpoint 192.0.2.1 --endpoint '[2001:db8::1]:3478'\n",
    )
    .action(
      remote<{ region: string; endpoint: string[] }>(io, async (session, run) => {
        const request = {
          name: run.args[0] ?? "",
          regionId: await findRegionId(session, io, run.options.region),
          endpoints: run.options.endpoint.map(endpointOf),
        };
        const client = session.client(DiscoveryServerService);
        const response = await client.createDiscoveryServer(request, { signal: io.signal });
        const made = response.discoveryServer;
        show(run, CreateDiscoveryServerResponseSchema, response, () => `${made?.name} ${made?.id}\n`);
      }),
    );

  server
    .command("update <name>")
    .description("give a discovery server another name, region or other endpoints")
    .option("--name <name>", "new name")
    .option("--region <name>", "where it stands now")
    .option(ENDPOINT, "where it answers now, in place of all former ones; may be repeated", collect)
    .addHelpText("after", "\nExample:\n  cvlan discovery-server update stun-1 --endpoint 192.0.2.2:3478\n")
    .action(
      remote<{ name?: string; region?: string; endpoint?: string[] }>(io, async (session, run) => {
        const { name, region, endpoint = [] } = run.options;
        const request = {
          discoveryServerId: await findServerId(session, io, run.args[0]),
          ...(name !== undefined && { name }),
          ...(region !== undefined && { regionId: await findRegionId(session, io, region) }),
          endpoints: endpoint.map(endpointOf),
        };
        const client = session.client(DiscoveryServerService);
        const response = await client.updateDiscoveryServer(request, { signal: io.signal });
        const made = response.discoveryServer;
        show(
          run,
          UpdateDiscoveryServerResponseSchema,
          response,
          () => `${made?.name} ${made?.endpoints.map(endpointText).join(", ")}\n`,
        );
      }),
    );

  server
    .command("delete <name>")
    .description("have nodes forget a discovery server")
    .addHelpText("after", "\nExample:\n  cvlan discovery-server delete stun-1\n")
    .action(
      remote(io, async (session, run) => {
        const discoveryServerId = await findServerId(session, io, run.args[0]);
        const client = session.client(DiscoveryServerService);
        const response = await client.deleteDiscoveryServer({ discoveryServerId }, { signal: io.signal });
        show(run, DeleteDiscoveryServerResponseSchema, response, () => `${run.args[0]} is deleted\n`);
      }),
    );
}

function endpointOf(text: string): { address: string; port: number } {
  const { host, port } = splitDestination(text);
  return { address: host, port: port === 0 ? STUN_PORT : port };
}

async function findServerId(session: Session, io: Io, name = ""): Promise<string> {
  return byName("discovery-server", await listServers(session, io), name).id;
}

async function listServers(session: Session, io: Io): Promise<DiscoveryServer[]> {
  return await everyPage(
    (pagination) => session.client(DiscoveryServerService).listDiscoveryServers({ pagination }, { signal: io.signal }),
    (page) => page.discoveryServers,
  );
}

async function regionNames(session: Session, io: Io): Promise<Map<string, string>> {
  return new Map((await listRegions(session, io)).map(({ id, name }) => [id, name]));
}
