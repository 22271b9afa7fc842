import { signingKeySecrets } from "@cloudvlan/kit/delegation";
import { rekeyRows, type SecretTable } from "@cloudvlan/kit/rekey";
import { documents } from "./schema.ts";
import { sealFields, TABLE } from "./store.ts";

/** What policy keeps under the master key. */
export const secrets: readonly SecretTable[] = [
  signingKeySecrets("policy"),
  {
    scopes: ["tenant"],
    rekey: (tx, rekey) =>
      rekeyRows(tx, documents, ["tenantId", "cvlanId"], (row) => ({
        seal: rekey.seal(TABLE, sealFields(row), row.seal),
      })),
  },
];
