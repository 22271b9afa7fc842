import { signingKeySecrets } from "@cloudvlan/kit/delegation";
import { rekeyRows, type SecretTable } from "@cloudvlan/kit/rekey";
import { logs, maps } from "./schema.ts";
import { SETTINGS, sealFields } from "./store.ts";

/** What netmap keeps under the master key. */
export const secrets: readonly SecretTable[] = [
  signingKeySecrets("netmap"),
  {
    scopes: ["tenant"],
    rekey: (tx, rekey) =>
      rekeyRows(tx, maps, ["tenantId", "cvlanId"], ({ tenantId, cvlanId, settings, settingsRevision, settingsSeal }) =>
        // Registry has not said yet what is in force.
        settingsSeal.length === 0
          ? {}
          : {
              settingsSeal: rekey.seal(SETTINGS, { tenantId, cvlanId, settings, settingsRevision }, settingsSeal),
            },
      ),
  },
  {
    scopes: ["tenant"],
    async rekey(tx, rekey) {
      const epochs = new Map((await tx.select().from(maps)).map(({ cvlanId, epoch }) => [cvlanId, epoch]));
      return rekeyRows(tx, logs, ["tenantId", "cvlanId", "revision", "ordinal"], (row) => {
        const epoch = epochs.get(row.cvlanId);
        return epoch === undefined ? {} : { seal: rekey.seal("netmap.log", sealFields(epoch, row), row.seal) };
      });
    },
  },
];
