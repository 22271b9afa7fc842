import { create } from "@bufbuild/protobuf";
import { type Command, Option } from "commander";
import { JoinTokenStatus, JoinTokenStatusSchema } from "@cloudvlan/gen/entity/v1/enrollment_pb.js";
import { NodeKind } from "@cloudvlan/gen/entity/v1/node_pb.js";
import {
  CreateJoinTokenResponseSchema,
  EnrollmentService,
  GetJoinTokenResponseSchema,
  ListJoinTokensResponseSchema,
  RevokeJoinTokenResponseSchema,
} from "@cloudvlan/gen/registry/v1/registry_pb.js";
import { collect, durationSeconds, tagPairs } from "../args.ts";
import { remote, show } from "../command.ts";
import type { Io } from "../io.ts";
import { everyPage } from "../lookup.ts";
import { ago, fields, table, word } from "../print.ts";
import { findGroupId } from "./group.ts";

const KINDS: Readonly<Record<string, NodeKind>> = {
  agent: NodeKind.AGENT,
  relay: NodeKind.RELAY,
  vrouter: NodeKind.VROUTER,
};

interface CreateOptions {
  ttl?: string;
  tag?: string[];
  group?: string[];
  kind: string;
}

/** `cvlan token …` */
export function tokenCommands(program: Command, io: Io): void {
  const token = program.command("token").description("join tokens: the right of one machine to join, once");

  token
    .command("create")
    .description("make a join token; its join string is printed once, alone on standard output")
    .option("--ttl <duration>", "how long it is good, up to 7d (default 1h)")
    .option("--tag <key=value>", "tag of the node; may be repeated", collect)
    .option("--group <name>", "group of the node; may be repeated", collect)
    .addOption(new Option("--kind <kind>", "kind of the node").choices(Object.keys(KINDS)).default("agent"))
    .addHelpText("after", "\nExample:\n  cvlan token create --tag env=prod | ssh web1 cvlan join\n")
    .action(
      remote<CreateOptions>(io, async (session, run) => {
        const { ttl, tag = [], group = [], kind } = run.options;
        const { id: cvlanId, tenantId, name } = await session.cvlan();
        const request = {
          tenantId,
          cvlanId,
          ttlSeconds: durationSeconds(ttl),
          tags: { tags: tagPairs(tag) },
          groupIds: await Promise.all(group.map((each) => findGroupId(session, io, each))),
          nodeKind: KINDS[kind] ?? NodeKind.UNSPECIFIED,
        };
        const response = await session.client(EnrollmentService).createJoinToken(request, { signal: io.signal });
        if (!run.options.json) {
          const expires = ago(response.token?.expiresAt, io.clock.nowMs());
          io.err(`token ${response.token?.id} for ${name}, expires ${expires}; pipe it into \`cvlan join\`\n`);
        }
        show(run, CreateJoinTokenResponseSchema, response, () => `${response.joinString}\n`);
      }),
    );

  token
    .command("list")
    .description("list the join tokens of a network")
    .addHelpText("after", "\nExample:\n  cvlan token list --json\n")
    .action(
      remote(io, async (session, run) => {
        const { id: cvlanId, tenantId } = await session.cvlan();
        const tokens = await everyPage(
          (pagination) =>
            session.client(EnrollmentService).listJoinTokens({ tenantId, cvlanId, pagination }, { signal: io.signal }),
          (page) => page.tokens,
        );
        show(run, ListJoinTokensResponseSchema, create(ListJoinTokensResponseSchema, { tokens }), () =>
          table(
            ["ID", "STATUS", "EXPIRES", "USED BY"],
            tokens.map((each) => [
              each.id,
              word(JoinTokenStatusSchema.value[each.status]?.localName),
              ago(each.expiresAt, io.clock.nowMs()),
              each.nodeId,
            ]),
          ),
        );
      }),
    );

  token
    .command("show <id>")
    .description("everything about one join token but its secret")
    .addHelpText("after", "\nExample:\n  cvlan token show jointoken_0189…\n")
    .action(
      remote(io, async (session, run) => {
        const request = { tenantId: await session.tenantId(), tokenId: run.args[0] ?? "" };
        const response = await session.client(EnrollmentService).getJoinToken(request, { signal: io.signal });
        const found = response.token;
        show(run, GetJoinTokenResponseSchema, response, () =>
          fields([
            ["id", found?.id ?? ""],
            ["network", found?.cvlanId ?? ""],
            ["status", word(JoinTokenStatusSchema.value[found?.status ?? JoinTokenStatus.UNSPECIFIED]?.localName)],
            ["expires", ago(found?.expiresAt, io.clock.nowMs())],
            ["used by", found?.nodeId ?? ""],
            ["created by", found?.provenance?.createdBy ?? ""],
          ]),
        );
      }),
    );

  token
    .command("revoke <id>")
    .description("make a token useless")
    .addHelpText("after", "\nExample:\n  cvlan token revoke jointoken_0189…\n")
    .action(
      remote(io, async (session, run) => {
        const request = { tenantId: await session.tenantId(), tokenId: run.args[0] ?? "" };
        const response = await session.client(EnrollmentService).revokeJoinToken(request, { signal: io.signal });
        show(run, RevokeJoinTokenResponseSchema, response, () => `${request.tokenId} is revoked\n`);
      }),
    );
}
