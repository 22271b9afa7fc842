import * as z from "zod";

/** Every key that a schema knows, at any depth and in any alternative, as a path with dots. */
export function keysOf(schema: z.core.$ZodType, at = ""): string[] {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) {
    return keysOf(schema.unwrap(), at);
  }
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => keysOf(option, at));
  if (schema instanceof z.ZodArray) return keysOf(schema.element, at);
  if (schema instanceof z.ZodRecord) return keysOf(schema.valueType, `${at}*.`);
  if (!(schema instanceof z.ZodObject)) return [];
  return Object.entries(schema.shape).flatMap(([key, member]) => [
    `${at}${key}`,
    ...keysOf(member as z.core.$ZodType, `${at}${key}.`),
  ]);
}
