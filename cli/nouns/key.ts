import { create } from "@bufbuild/protobuf";
import { type Command, Option } from "commander";
import {
  ApiKeyService,
  CreateApiKeyResponseSchema,
  ListApiKeysResponseSchema,
  RevokeApiKeyResponseSchema,
} from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { type ApiKey, ApiKeyStatus, ApiKeyStatusSchema } from "@cloudvlan/gen/entity/v1/api_key_pb.js";
import { Permission, PermissionSchema } from "@cloudvlan/gen/options/v1/options_pb.js";
import { durationSeconds } from "../args.ts";
import { remote, show } from "../command.ts";
import type { Io } from "../io.ts";
import { byName, everyPage } from "../lookup.ts";
import { ago, table, word } from "../print.ts";
import type { Session } from "../session.ts";

/** Rights that a key may hold, by their words: `node-read`. */
const PERMISSIONS: ReadonlyMap<string, Permission> = new Map(
  PermissionSchema.values
    .filter(({ number }) => number >= 10 && number !== Permission.CONTROL_PLANE)
    .map(({ localName, number }) => [word(localName), number]),
);

/** `cvlan key …` */
export function keyCommands(program: Command, io: Io): void {
  const key = program.command("key").description("API keys for people's tools and automation");

  key
    .command("create <name>")
    .description("make an API key; the key is printed once, alone on standard output")
    .addOption(
      new Option("--allow <permissions...>", "what it may do").choices([...PERMISSIONS.keys()]).makeOptionMandatory(),
    )
    .option("--ttl <duration>", "how long it is good, up to 365d (default 90d)")
    .addHelpText("after", "\nExample:\n  (umask 077; cvlan key create ci --allow node-read policy-write > ci.key)\n")
    .action(
      remote<{ allow: string[]; ttl?: string }>(io, async (session, run) => {
        const permissions = run.options.allow.flatMap((name) => PERMISSIONS.get(name) ?? []);
        const request = {
          tenantId: await session.tenantId(),
          name: run.args[0] ?? "",
          scope: { permissions },
          ttlSeconds: durationSeconds(run.options.ttl),
        };
        const response = await session.client(ApiKeyService).createApiKey(request, { signal: io.signal });
        if (!run.options.json) io.err(`key ${response.apiKey?.id}; it is not shown again\n`);
        show(run, CreateApiKeyResponseSchema, response, () => `${response.secret}\n`);
      }),
    );

  key
    .command("list")
    .description("list the API keys of a tenant")
    .addHelpText("after", "\nExample:\n  cvlan key list\n")
    .action(
      remote(io, async (session, run) => {
        const tenantId = await session.tenantId();
        const apiKeys = await everyKey(session, tenantId, io.signal);
        show(run, ListApiKeysResponseSchema, create(ListApiKeysResponseSchema, { apiKeys }), () =>
          table(
            ["NAME", "STATUS", "EXPIRES", "MAY", "ID"],
            apiKeys.map((each) => [
              each.name,
              word(ApiKeyStatusSchema.value[each.status]?.localName),
              ago(each.expiresAt, io.clock.nowMs()),
              (each.scope?.permissions ?? []).map((right) => word(PermissionSchema.value[right]?.localName)).join(" "),
              each.id,
            ]),
          ),
        );
      }),
    );

  key
    .command("revoke <key>")
    .description("make a key useless, by name or id")
    .addHelpText("after", "\nExample:\n  cvlan key revoke ci\n")
    .action(
      remote(io, async (session, run) => {
        const tenantId = await session.tenantId();
        const apiKeys = await everyKey(session, tenantId, io.signal);
        const wanted = run.args[0] ?? "";
        // A revoked key's name may be in use again.
        const living = apiKeys.filter(({ id, status }) => id === wanted || status === ApiKeyStatus.ACTIVE);
        const found = byName("key", living, wanted);
        const request = { tenantId, apiKeyId: found.id };
        const response = await session.client(ApiKeyService).revokeApiKey(request, { signal: io.signal });
        show(run, RevokeApiKeyResponseSchema, response, () => `${found.name} is revoked\n`);
      }),
    );
}

function everyKey(session: Session, tenantId: string, signal: AbortSignal): Promise<ApiKey[]> {
  return everyPage(
    (pagination) => session.client(ApiKeyService).listApiKeys({ tenantId, pagination }, { signal }),
    (page) => page.apiKeys,
  );
}
