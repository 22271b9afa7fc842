import { create } from "@bufbuild/protobuf";
import { type Command, Option } from "commander";
import {
  ApiKeyService,
  CreateApiKeyResponseSchema,
  GetApiKeyResponseSchema,
  ListApiKeysResponseSchema,
  RevokeApiKeyResponseSchema,
} from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { type ApiKey, ApiKeyStatus, ApiKeyStatusSchema } from "@cloudvlan/gen/entity/v1/api_key_pb.js";
import { Permission, PermissionSchema } from "@cloudvlan/gen/options/v1/options_pb.js";
import { durationSeconds } from "../args.ts";
import { remote, show } from "../command.ts";
import type { Io } from "../io.ts";
import { byName, everyPage } from "../lookup.ts";
import { ago, fields, table, word } from "../print.ts";
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
              rightsOf(each),
              each.id,
            ]),
          ),
        );
      }),
    );

  key
    .command("show <key>")
    .description("everything about one API key but its secret, by name or id")
    .addHelpText("after", "\nExample:\n  cvlan key show ci\n")
    .action(
      remote(io, async (session, run) => {
        const { tenantId, id: apiKeyId } = await findKey(session, run.args[0] ?? "", io.signal);
        const response = await session.client(ApiKeyService).getApiKey({ tenantId, apiKeyId }, { signal: io.signal });
        const found = response.apiKey;
        show(run, GetApiKeyResponseSchema, response, () =>
          fields([
            ["name", found?.name ?? ""],
            ["id", apiKeyId],
            ["status", word(ApiKeyStatusSchema.value[found?.status ?? ApiKeyStatus.UNSPECIFIED]?.localName)],
            ["may", rightsOf(found)],
            ["expires", ago(found?.expiresAt, io.clock.nowMs())],
            ["created", ago(found?.provenance?.createdAt, io.clock.nowMs())],
            ["created by", found?.provenance?.createdBy ?? ""],
          ]),
        );
      }),
    );

  key
    .command("revoke <key>")
    .description("make a key useless, by name or id")
    .addHelpText("after", "\nExample:\n  cvlan key revoke ci\n")
    .action(
      remote(io, async (session, run) => {
        const found = await findKey(session, run.args[0] ?? "", io.signal);
        const request = { tenantId: found.tenantId, apiKeyId: found.id };
        const response = await session.client(ApiKeyService).revokeApiKey(request, { signal: io.signal });
        show(run, RevokeApiKeyResponseSchema, response, () => `${found.name} is revoked\n`);
      }),
    );
}

function rightsOf(key: ApiKey | undefined): string {
  return (key?.scope?.permissions ?? []).map((right) => word(PermissionSchema.value[right]?.localName)).join(" ");
}

/** The one that is meant by a name or an id; a revoked key's name may be in use again. */
async function findKey(session: Session, wanted: string, signal: AbortSignal): Promise<ApiKey> {
  const apiKeys = await everyKey(session, await session.tenantId(), signal);
  const living = apiKeys.filter(({ id, status }) => id === wanted || status === ApiKeyStatus.ACTIVE);
  return byName("key", living, wanted);
}

function everyKey(session: Session, tenantId: string, signal: AbortSignal): Promise<ApiKey[]> {
  return everyPage(
    (pagination) => session.client(ApiKeyService).listApiKeys({ tenantId, pagination }, { signal }),
    (page) => page.apiKeys,
  );
}
