import * as z from "zod";

export const config = z.strictObject({
  /** Seconds a freed address stays unused: longer than the oldest map a node may still act on. */
  address_quarantine_seconds: z
    .number()
    .int()
    .min(0)
    .max(10 * 365 * 86_400)
    .default(30 * 86_400),
});

export type RegistryConfig = z.infer<typeof config>;
