import { signingKeySecrets } from "@cloudvlan/kit/delegation";
import type { Tx } from "@cloudvlan/kit/db";
import type { SealFields } from "@cloudvlan/kit/keys";
import { type Rekey, rekeyRows, type SecretTable } from "@cloudvlan/kit/rekey";
import * as schema from "./schema.ts";
import { sealedAs } from "./seals.ts";

function remade(table: string, rekey: Rekey) {
  return (row: object & { readonly seal: Uint8Array }) => {
    const { seal, ...fields } = row;
    return { seal: rekey.seal(sealedAs(table), fields as SealFields, seal) };
  };
}

function ofTenants(rekey: (tx: Tx, rekey: Rekey) => Promise<number>): SecretTable {
  return { scopes: ["tenant"], rekey };
}

/** What registry keeps under the master key. */
export const secrets: readonly SecretTable[] = [
  signingKeySecrets("registry"),
  {
    scopes: ["platform"],
    rekey: (tx, by) => rekeyRows(tx, schema.installations, ["slot"], remade("installation", by)),
  },
  {
    scopes: ["platform"],
    rekey: (tx, by) => rekeyRows(tx, schema.clusterSettings, ["slot"], remade("cluster_settings", by)),
  },
  {
    scopes: ["platform"],
    rekey: (tx, by) => rekeyRows(tx, schema.discoveryServers, ["id"], remade("discovery_server", by)),
  },
  ofTenants((tx, by) => rekeyRows(tx, schema.tenantSettings, ["tenantId", "cvlanId"], remade("tenant_settings", by))),
  ofTenants((tx, by) => rekeyRows(tx, schema.cvlans, ["id"], remade("cvlan", by))),
  ofTenants((tx, by) => rekeyRows(tx, schema.cvlanDns, ["cvlanId"], remade("cvlan_dns", by))),
  ofTenants((tx, by) => rekeyRows(tx, schema.cvlanRelayMaps, ["cvlanId"], remade("cvlan_relay_map", by))),
  ofTenants((tx, by) => rekeyRows(tx, schema.addressPools, ["cvlanId"], remade("address_pool", by))),
  ofTenants((tx, by) => rekeyRows(tx, schema.addresses, ["cvlanId", "host"], remade("address", by))),
  ofTenants((tx, by) => rekeyRows(tx, schema.nodes, ["id"], remade("node", by))),
  ofTenants((tx, by) => rekeyRows(tx, schema.groups, ["id"], remade("node_group", by))),
  ofTenants((tx, by) => rekeyRows(tx, schema.groupMembers, ["groupId", "nodeId"], remade("group_member", by))),
  ofTenants((tx, by) => rekeyRows(tx, schema.joinTokens, ["id"], remade("join_token", by))),
];
