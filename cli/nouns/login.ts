import type { Command } from "commander";
import { createClient } from "@connectrpc/connect";
import { ApiKeyService, WhoAmIResponseSchema } from "@cloudvlan/gen/auth/v1/auth_pb.js";
import { connectTo } from "@cloudvlan/kit/client";
import { readSecretFile } from "@cloudvlan/kit/config";
import { pemOf } from "@cloudvlan/kit/pki";
import { local, show } from "../command.ts";
import { contextPath, writeContext } from "../context.ts";
import { UsageError } from "../exit.ts";
import type { Io } from "../io.ts";
import { requireHttps, rootsOf } from "../session.ts";

/** `cvlan login` */
export function loginCommand(program: Command, io: Io): void {
  program
    .command("login")
    .description("remember controller, CA and API key, after checking them")
    .addHelpText(
      "after",
      "\nExample:\n  cvlan login --controller https://vpn.example.org:8443 --ca-sha256 5f1c… --key-file admin.key --tenant acme\n",
    )
    .action(
      local(io, async (run) => {
        const { controller, keyFile, tenant, cvlan } = run.options;
        if (controller === undefined || keyFile === undefined) {
          throw new UsageError("--controller or --key-file is missing", "give both, and --ca or --ca-sha256");
        }
        requireHttps(controller);
        const roots = await rootsOf(run.options, undefined, controller);
        const key = readSecretFile(keyFile);
        const connection = connectTo(controller, { roots, bearer: key });
        try {
          const response = await createClient(ApiKeyService, connection).whoAmI({}, { signal: io.signal });
          const path = run.options.context ?? contextPath(io.configHome);
          await writeContext(path, {
            version: 1,
            controller,
            ca_pem: pemOf(roots),
            key,
            ...(tenant !== undefined && { tenant }),
            ...(cvlan !== undefined && { cvlan }),
          });
          const whose = response.tenantName ? `tenant ${response.tenantName}` : "the platform";
          show(
            run,
            WhoAmIResponseSchema,
            response,
            () => `logged in to ${controller} as ${response.subject} of ${whose}\n`,
          );
        } finally {
          connection.close();
        }
      }),
    );
}
