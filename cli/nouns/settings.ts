import { create } from "@bufbuild/protobuf";
import { type Command, Option } from "commander";
import { type Settings, SettingsLayer, SettingsSchema } from "@cloudvlan/gen/entity/v1/settings_pb.js";
import {
  GetSettingsResponseSchema,
  SettingsService,
  type UpdateSettingsResponse,
  UpdateSettingsResponseSchema,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { remote, type Run, show } from "../command.ts";
import { UsageError } from "../exit.ts";
import type { Io } from "../io.ts";
import { table, word } from "../print.ts";
import type { Session } from "../session.ts";
import { FIELDS, KEYS, setAll, textOf, unsetAll } from "../settings-args.ts";

const LAYERS = {
  platform: SettingsLayer.PLATFORM,
  cluster: SettingsLayer.CLUSTER,
  tenant: SettingsLayer.TENANT,
  cvlan: SettingsLayer.CVLAN,
} as const;

interface Options {
  readonly layer: keyof typeof LAYERS;
}

const HELP = `
Settings:
  stale-policy=keep|no-new-flows|stop   what nodes do with a map that is stale
  map-ttl=30d                           until a map that is not renewed is stale, 1m to 90d
  join-token-max-ttl=1h                 longest life of a join token; the smallest of all layers counts
  dns-route=corp.example@10.0.0.53      servers that answer for a suffix; may be repeated; none for no route
Otherwise the most specific layer that sets something wins: cvlan, tenant, cluster, platform.
`;

/** `cvlan settings …` */
export function settingsCommands(program: Command, io: Io): void {
  const settings = program
    .command("settings")
    .description("what is in force for a network, in layers")
    .addHelpText("after", HELP);
  const layered = (command: Command): Command =>
    command.addOption(new Option("--layer <layer>", "whose settings").choices(Object.keys(LAYERS)).default("cvlan"));

  layered(settings.command("show"))
    .description("what is in force, and which layer decides it")
    .addHelpText("after", "\nExample:\n  cvlan settings show --cvlan office\n")
    .action(
      remote<Options>(io, async (session, run) => {
        const request = await requestOf(session, run);
        const response = await session.client(SettingsService).getSettings(request, { signal: io.signal });
        const { own, effective } = response;
        show(run, GetSettingsResponseSchema, response, () =>
          table(
            ["SETTING", "IN FORCE", "DECIDED BY", `SET BY THE ${run.options.layer.toUpperCase()}`],
            KEYS.map((key) => [
              key,
              textOf(effective?.settings, key),
              word(SettingsLayer[effective?.decidedBy[FIELDS[key]] ?? SettingsLayer.UNSPECIFIED]),
              textOf(own?.settings, key),
            ]),
          ),
        );
      }),
    );

  layered(settings.command("set <settings...>"))
    .description("set something in a layer")
    .addHelpText(
      "after",
      `${HELP}\nExamples:\n  cvlan settings set map-ttl=7d stale-policy=stop --cvlan office\n  cvlan settings set join-token-max-ttl=1h --layer tenant\n`,
    )
    .action(remote<Options>(io, async (session, run) => change(session, run, (own) => setAll(own, run.args))));

  layered(settings.command("unset <settings...>"))
    .description("leave something to the layer above")
    .addHelpText("after", "\nExample:\n  cvlan settings unset stale-policy --cvlan office\n")
    .action(remote<Options>(io, async (session, run) => change(session, run, (own) => unsetAll(own, run.args))));
}

async function requestOf(session: Session, { options }: Run<Options>) {
  const layer = LAYERS[options.layer];
  if (layer === SettingsLayer.CVLAN) {
    const { tenantId, id: cvlanId } = await session.cvlan();
    return { layer, tenantId, cvlanId };
  }
  return layer === SettingsLayer.TENANT ? { layer, tenantId: await session.tenantId() } : { layer };
}

/** Reads a layer, changes it and puts it back, unless somebody else changed it meanwhile. */
async function change(session: Session, run: Run<Options>, edit: (own: Settings) => void): Promise<void> {
  if (run.options.layer === "platform") {
    throw new UsageError(
      "the platform's settings are not set by a command",
      "change the configuration of the processes",
    );
  }
  // What is wrong on the command line is wrong whatever is set.
  edit(create(SettingsSchema));
  const request = await requestOf(session, run);
  const client = session.client(SettingsService);
  const { own } = await client.getSettings(request, { signal: run.io.signal });
  const settings = own?.settings ?? create(SettingsSchema);
  edit(settings);
  const changed = { ...request, settings, baseRevision: own?.revision ?? 0n };
  const response = await client.updateSettings(changed, { signal: run.io.signal });
  show(run, UpdateSettingsResponseSchema, response, () => summaryOf(response));
}

function summaryOf({ own }: UpdateSettingsResponse): string {
  const set = KEYS.map((key) => [key, textOf(own?.settings, key)]).filter(([, text]) => text !== "");
  const what = set.map(([key, text]) => `${key}=${text}`).join(" ");
  return `revision ${own?.revision ?? 0n}: ${what || "nothing is set here"}\n`;
}
