/** What one metric is. */
export interface MetricDefinition {
  /** As a scrape shows it; counters end in `_total`. */
  readonly name: string;
  readonly kind: "counter" | "histogram" | "gauge";
  readonly help: string;
  /** Names of its labels. Their values come from sets that we bound: never an id of a tenant, a network or a node. */
  readonly labels: readonly string[];
}

/** Upper bounds of the buckets of durations, in seconds. */
export const DURATION_BUCKETS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

/** Every metric that processes in TypeScript have; docs/observability.md says what each is for. */
export const METRICS = {
  rpcDuration: {
    name: "rpc_server_duration_seconds",
    kind: "histogram",
    help: "Time to answer a unary call, or to the first message of a stream",
    labels: ["rpc_service", "rpc_method", "rpc_code"],
  },
  rpcErrors: {
    name: "rpc_server_errors_total",
    kind: "counter",
    help: "Calls that failed, and streams that broke, by stable reason",
    labels: ["rpc_service", "rpc_method", "reason"],
  },
  refusals: {
    name: "cloudvlan_refusals_total",
    kind: "counter",
    help: "Requests of callers who are not known, refused before anything was done for them, by reason",
    labels: ["reason"],
  },
  streamsOpen: {
    name: "cloudvlan_streams_open",
    kind: "gauge",
    help: "Streams of nodes and people that are open on this process",
    labels: [],
  },
  denialsLag: {
    name: "cloudvlan_denials_lag_seconds",
    kind: "gauge",
    help: "Time since auth was last heard by the follower of denials",
    labels: [],
  },
  storeInfo: {
    name: "cloudvlan_store_info",
    kind: "gauge",
    help: "1 for the kind of store that this process works on",
    labels: ["kind"],
  },
  dbConnections: {
    name: "cloudvlan_db_connections",
    kind: "gauge",
    help: "Connections of the pool by state: used, idle, and callers waiting for one",
    labels: ["state"],
  },
  dbDuration: {
    name: "cloudvlan_db_transaction_duration_seconds",
    kind: "histogram",
    help: "Time of a database transaction, with what it waited for a connection",
    labels: ["service", "outcome"],
  },
  maps: {
    name: "cloudvlan_netmap_maps",
    kind: "gauge",
    help: "Networks whose map this worker holds, because streams are open on them",
    labels: [],
  },
  mapsBehind: {
    name: "cloudvlan_netmap_maps_behind",
    kind: "gauge",
    help: "Of these, the ones that are known to be behind their log",
    labels: [],
  },
  mapLag: {
    name: "cloudvlan_netmap_lag_seconds",
    kind: "gauge",
    help: "How long the map that is behind the longest has been so",
    labels: [],
  },
  mapNodes: {
    name: "cloudvlan_netmap_nodes",
    kind: "gauge",
    help: "Nodes in the maps that this worker holds",
    labels: [],
  },
  mapViewers: {
    name: "cloudvlan_netmap_viewers",
    kind: "gauge",
    help: "Nodes that watch their map on this worker",
    labels: [],
  },
  agentController: {
    name: "cloudvlan_agent_controller_connected",
    kind: "gauge",
    help: "1 while the map stream to the controller is open",
    labels: [],
  },
  agentEnrolled: {
    name: "cloudvlan_agent_enrolled",
    kind: "gauge",
    help: "1 once this machine is a node",
    labels: [],
  },
  agentMapAge: {
    name: "cloudvlan_agent_map_age_seconds",
    kind: "gauge",
    help: "Time since the head of the map in force was signed",
    labels: [],
  },
  agentMapStale: {
    name: "cloudvlan_agent_map_stale",
    kind: "gauge",
    help: "1 while the engine says that the map is stale",
    labels: [],
  },
  agentCertificateLeft: {
    name: "cloudvlan_agent_certificate_left_seconds",
    kind: "gauge",
    help: "Validity left of the node's certificate; negative when it is past",
    labels: [],
  },
  agentProblems: {
    name: "cloudvlan_agent_problem",
    kind: "gauge",
    help: "1 for each part of the node that has a problem now",
    labels: ["part"],
  },
  spansProcessed: {
    name: "otel_sdk_processor_span_processed_total",
    kind: "counter",
    help: "Spans that left the queue; error_type says why one did not reach the collector, queue_full that it never got in",
    labels: ["otel_component_type", "otel_component_name", "error_type"],
  },
  spanQueueCapacity: {
    name: "otel_sdk_processor_span_queue_capacity",
    kind: "gauge",
    help: "Spans that the queue holds at most",
    labels: ["otel_component_type", "otel_component_name"],
  },
  spanQueueSize: {
    name: "otel_sdk_processor_span_queue_size",
    kind: "gauge",
    help: "Spans that wait for the collector",
    labels: ["otel_component_type", "otel_component_name"],
  },
  residentMemory: {
    name: "process_resident_memory_bytes",
    kind: "gauge",
    help: "Memory of the process that is in RAM",
    labels: [],
  },
  startTime: {
    name: "process_start_time_seconds",
    kind: "gauge",
    help: "When the process started, since the Unix epoch",
    labels: [],
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;

/** A metric's labels with their values. */
export type LabelsOf<M extends MetricDefinition> = Readonly<Record<M["labels"][number], string>>;
