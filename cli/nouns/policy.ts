import { basename, isAbsolute } from "node:path";
import { toJson } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import type { Command } from "commander";
import { stringify } from "yaml";
import { ErrorDetailSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { PolicyDocumentSchema } from "@cloudvlan/gen/entity/v1/policy_pb.js";
import {
  ApplyPolicyResponseSchema,
  GetPolicyResponseSchema,
  PolicyService,
} from "@cloudvlan/gen/policy/v1/policy_pb.js";
import { readConfigFile } from "@cloudvlan/kit/config";
import { wholeNumber } from "../args.ts";
import { remote, show } from "../command.ts";
import type { Io } from "../io.ts";
import { parsePolicy, type PolicyFile } from "../policy-file.ts";
import { printable } from "../print.ts";

/** Characters of a file's name that the controller keeps. */
const MAX_SOURCE = 255;

const EXAMPLE = `
Example policy.yaml (also JSON; names are those of policy.proto):
  rules:
    - name: admins-everywhere
      action: POLICY_ACTION_ALLOW
      sources: [{ group: admins }]
      destinations: [{ any: true }]
      protocol: POLICY_PROTOCOL_TCP
      ports: [{ first: 22 }, { first: 443 }]
Rules have no order: what one denies, none allows.
`;

/** `cvlan policy …` */
export function policyCommands(program: Command, io: Io): void {
  const policy = program.command("policy").description("who may talk to whom in a network");

  policy
    .command("apply <file>")
    .description("replace the policy of a network by the one in the file")
    .option("--base-version <n>", "refuse when another version than this is in force")
    .addHelpText("after", EXAMPLE)
    .action(
      remote<{ baseVersion?: string }>(io, async (session, run) => {
        const file = run.args[0] ?? "";
        const parsed = parsePolicy(file, readConfigFile(file));
        const { id: cvlanId, tenantId } = await session.cvlan();
        const { baseVersion } = run.options;
        const request = {
          tenantId,
          cvlanId,
          document: parsed.document,
          source: { file: sourceName(file), ruleLines: [...parsed.ruleLines] },
          ...(baseVersion !== undefined && { baseVersion: BigInt(wholeNumber("--base-version", baseVersion, 1e9)) }),
        };
        const response = await session
          .client(PolicyService)
          .applyPolicy(request, { signal: io.signal })
          .catch((error: unknown) => {
            throw located(error, parsed);
          });
        const rules = parsed.document.rules.length;
        show(
          run,
          ApplyPolicyResponseSchema,
          response,
          () => `version ${response.policy?.version} in force, ${rules} rules\n`,
        );
      }),
    );

  policy
    .command("show")
    .description("the policy in force, in the form that `apply` reads")
    .addHelpText("after", "\nExample:\n  cvlan policy show > policy.yaml\n")
    .action(
      remote(io, async (session, run) => {
        const { id: cvlanId, tenantId } = await session.cvlan();
        const response = await session.client(PolicyService).getPolicy({ tenantId, cvlanId }, { signal: io.signal });
        const document = response.policy?.document;
        show(run, GetPolicyResponseSchema, response, () =>
          [
            `# version ${response.policy?.version ?? 0n}\n`,
            stringify(document ? toJson(PolicyDocumentSchema, document, { useProtoFieldName: true }) : { rules: [] }),
          ].join(""),
        );
      }),
    );
}

/** What the controller is told of the file: never the folders of this machine. */
function sourceName(file: string): string {
  const name = printable(isAbsolute(file) ? basename(file) : file);
  return name.length > MAX_SOURCE ? basename(name).slice(-MAX_SOURCE) : name;
}

/** The controller names the field at fault; the file has it on a line. */
function located(error: unknown, file: PolicyFile): unknown {
  if (!(error instanceof ConnectError)) return error;
  const detail = error.findDetails(ErrorDetailSchema)[0];
  if (!detail?.field.startsWith("document.")) return error;
  const message = `${file.locate(detail.field.slice("document.".length))}: ${error.rawMessage}`;
  return new ConnectError(message, error.code, undefined, [{ desc: ErrorDetailSchema, value: detail }], error);
}
