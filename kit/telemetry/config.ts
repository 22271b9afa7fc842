import * as z from "zod";

const address = z.strictObject({
  /** Anything but loopback shows figures of this process to whoever reaches the address. */
  address: z.union([z.ipv4(), z.ipv6()]).default("127.0.0.1"),
  port: z.int().min(1).max(65_535),
});

const collector = z
  .string()
  .max(512)
  .refine((value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol), {
    message: "must be a URL that starts with http:// or https://",
  })
  .refine((value) => !URL.canParse(value) || new URL(value).username + new URL(value).password === "", {
    message: "must hold no user name and no password",
  });

/** Where a process tells of itself. Nothing is sent and nothing listens unless it says so. */
export const telemetrySchema = z.strictObject({
  /** Base URL of an OpenTelemetry collector that takes OTLP over HTTP; spans go to `v1/traces` below it. */
  otlp: collector.optional(),
  /** Where Prometheus scrapes `/metrics`. */
  metrics: address.optional(),
  /** Share of the traces that begin here which are recorded, 0 to 1. One that began elsewhere goes by its beginning. */
  sample_ratio: z.number().min(0).max(1).default(1),
});

export type TelemetryConfig = z.infer<typeof telemetrySchema>;

/** Host and port of a listener for scrapes. */
export type ScrapeAddress = z.infer<typeof address>;
export const scrapeAddressSchema = address;
