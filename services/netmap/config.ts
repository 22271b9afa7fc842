import * as z from "zod";

export const config = z.strictObject({
  /** Seconds between two heads of a stream at most; each comes after nine tenths to all of it. */
  head_seconds: z.number().min(0.05).max(30).default(30),
  /** Revisions the log keeps: how far back a node resumes without a full map. */
  log_revisions: z.int().min(1).max(1_000_000).default(10_000),
  /** Seconds after its last stream for which a worker keeps following a cvlan. */
  idle_seconds: z.number().min(0.05).max(86_400).default(300),
  /** Objects whose changes a lagging stream may owe its reader before it is cut. */
  pending_objects: z.int().min(16).max(1_000_000).default(20_000),
  /** Endpoint reports of one node in a minute. */
  reports_per_minute: z.int().min(1).max(600).default(12),
  /** Seconds until a report is forgotten. */
  endpoint_seconds: z.number().min(1).max(86_400).default(3_600),
  /** Program that judges packets, `cvlan-engine`; a bare name is looked up in PATH. */
  engine: z.string().min(1).default("cvlan-engine"),
  /** Programs that judge at once. */
  evaluations: z.int().min(1).max(64).default(2),
  /** Seconds between two signs of life of a worker; without three of them its nodes count as offline. */
  heartbeat_seconds: z.number().min(0.05).max(60).default(10),
});

export type NetmapConfig = z.infer<typeof config>;
