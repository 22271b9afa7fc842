import * as z from "zod";

const lifetime = z.number().int().min(10).max(86_400);
const name = z.union([z.ipv4(), z.ipv6(), z.hostname()]);

/** Configuration of auth; an unknown key is an error. */
export const config = z.strictObject({
  /** Seconds a node's certificate is valid. */
  node_certificate_ttl_seconds: lifetime.default(86_400),
  /** Seconds a service's certificate is valid. */
  service_certificate_ttl_seconds: lifetime.default(86_400),
  /** Where the first start writes the platform owner's API key, mode 0600; relative to the data folder. */
  owner_key_file: z.string().min(1).max(4096).default("platform-owner.key"),
  /** DNS names and IP addresses that the listener of a service in another process may be reached at. */
  service_names: z.partialRecord(z.enum(["auth", "registry", "policy", "netmap"]), z.array(name).max(32)).default({}),
});

export type AuthConfig = z.infer<typeof config>;
