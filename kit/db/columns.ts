import { customType } from "drizzle-orm/pg-core";

/** A `bytea` column. Both drivers give subclasses or views; stores get plain bytes. */
export const bytes = customType<{ data: Uint8Array; driverData: Uint8Array }>({
  dataType: () => "bytea",
  toDriver: (value) => Buffer.from(value.buffer, value.byteOffset, value.byteLength),
  fromDriver: (value) => Uint8Array.from(value),
});
