import { toBinary, create } from "@bufbuild/protobuf";
import { SignedSchema } from "@cloudvlan/gen/entity/v1/netmap_pb.js";
import { type SQL, sql } from "drizzle-orm";
import type { PgColumn } from "drizzle-orm/pg-core";

/**
 * True in a query for rows whose record another key signed, or nobody.
 * @param column serialised `Signed`, as this process writes it: its key id comes first.
 */
export function isSignedByOther(column: PgColumn, keyId: string): SQL<boolean> {
  const prefix = toBinary(SignedSchema, create(SignedSchema, { keyId }));
  return sql<boolean>`substring(${column} from 1 for ${sql.raw(String(prefix.length))}) <> ${sql.param(prefix, column)}`;
}
