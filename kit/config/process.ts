import { dirname, resolve } from "node:path";
import * as z from "zod";
import { telemetrySchema } from "../telemetry/config.ts";
import { readConfigFile } from "./files.ts";
import { parseConfig, UNKNOWN_KEY } from "./parse.ts";

const path = z.string().min(1).max(4096);
const httpsUrl = z
  .string()
  .max(512)
  .refine(
    (value) => URL.canParse(value) && new URL(value).protocol === "https:",
    "must be a URL that starts with https://",
  )
  .refine((value) => !URL.canParse(value) || new URL(value).username + new URL(value).password === "", {
    message: "must hold no user name and no password",
  });
const serviceName = z.enum(["auth", "registry", "policy", "netmap"]);

const storeSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("pglite"),
    /** Folder of an empty database, made by the set-up: the first start copies it, which is faster than making one. */
    template: path.optional(),
  }),
  z.strictObject({
    kind: z.literal("postgres"),
    /** File with the URL: it may hold a password. */
    url_file: path,
    pool_size: z.number().int().min(2).max(200).default(10),
  }),
]);

const limitsSchema = z.strictObject({
  /** Requests a second of one address, sustained; twice as many in a burst. */
  requests_per_second: z.number().int().min(1).max(1_000_000).default(500),
  /** Open connections of one address. */
  connections_per_address: z.number().int().min(1).max(100_000).default(256),
  /** New connections a second of one address, sustained; twice as many in a burst. A handshake costs more than a request. */
  handshakes_per_second: z.number().int().min(1).max(1_000_000).default(200),
  /** Streams at once on one connection. */
  streams_per_connection: z.number().int().min(1).max(10_000).default(128),
});

const identitySchema = z.strictObject({ certificate: path, key: path, roots: path });

/** What one process of the control plane is told. */
export const processConfigSchema = z.strictObject({
  /** Trust domain; made once and kept in the data folder when absent. */
  cluster: z
    .string()
    .regex(/^cluster_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, "must be cluster_<uuid>")
    .optional(),
  data: path,
  url: httpsUrl,
  listen: z.strictObject({
    address: z.union([z.ipv4(), z.ipv6()]),
    port: z.number().int().min(0).max(65_535),
    names: z.array(z.string().min(1).max(253)).min(1).max(32),
  }),
  store: storeSchema,
  ca: z
    .strictObject({
      url: httpsUrl,
      root: path,
      provisioner: z.string().min(1).max(128),
      /** Only where auth runs. */
      provisioner_key: path.optional(),
    })
    .optional(),
  /** Of each service that runs here, where auth does not. */
  identities: z.partialRecord(serviceName, identitySchema).default({}),
  endpoints: z.partialRecord(serviceName, httpsUrl).default({}),
  services: z.partialRecord(serviceName, z.unknown()).default({}),
  /** Seconds without a sign of life from auth after which nodes are refused. */
  denial_lag_seconds: z.number().min(1).max(3600).default(15),
  log_level: z.enum(["debug", "info", "warn", "error"]).default("info"),
  telemetry: telemetrySchema.default(telemetrySchema.parse({})),
  limits: limitsSchema.default(limitsSchema.parse({})),
});

export type IdentityFiles = z.infer<typeof identitySchema>;

export type ProcessConfig = z.infer<typeof processConfigSchema>;

export type ServiceSchemas = Readonly<Partial<Record<string, z.ZodType>>>;

/** The process schema with each service's part checked by that service's own schema. */
function schemaWith(services: ServiceSchemas): z.ZodType<ProcessConfig> {
  return processConfigSchema.superRefine((config, context) => {
    for (const [name, part] of Object.entries(config.services)) {
      const schema = services[name];
      if (!schema) {
        const message = "this service does not run here; remove its configuration";
        context.addIssue({ code: "custom", path: ["services", name], message });
        continue;
      }
      for (const issue of schema.safeParse(part).error?.issues ?? []) {
        const path = ["services", name, ...issue.path];
        if (issue.code === "unrecognized_keys") {
          for (const key of issue.keys)
            context.addIssue({ code: "custom", path: [...path, key], message: UNKNOWN_KEY });
        } else {
          context.addIssue({ code: "custom", path, message: issue.message });
        }
      }
    }
  });
}

/**
 * Reads a process configuration; paths in it are relative to its own folder.
 * @param services schema of each service that may be configured here.
 * @throws ConfigError naming file, position, key and remedy.
 */
export function loadProcessConfig(file: string, services: ServiceSchemas): ProcessConfig {
  const config = parseConfig(file, readConfigFile(file), schemaWith(services));
  const base = dirname(resolve(file));
  const absolute = (relative: string) => resolve(base, relative);
  const { ca, identities, store } = config;
  const absoluteIdentity = ({ certificate, key, roots }: IdentityFiles): IdentityFiles => ({
    certificate: absolute(certificate),
    key: absolute(key),
    roots: absolute(roots),
  });
  return {
    ...config,
    data: absolute(config.data),
    store: store.kind === "postgres" ? { ...store, url_file: absolute(store.url_file) } : store,
    ...(ca && {
      ca: {
        ...ca,
        root: absolute(ca.root),
        ...(ca.provisioner_key !== undefined && { provisioner_key: absolute(ca.provisioner_key) }),
      },
    }),
    identities: Object.fromEntries(
      Object.entries(identities).map(([service, files]) => [service, absoluteIdentity(files)]),
    ),
  };
}
