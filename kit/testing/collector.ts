import { createServer, type IncomingMessage } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";

const STATUS_ERROR = 2;

/** A span as a collector sees it. */
export interface CollectedSpan {
  /** `service.name` of the resource. */
  readonly service: string;
  readonly name: string;
  /** Hexadecimal. */
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the root of a trace. */
  readonly parentSpanId: string;
  readonly error: boolean;
  readonly attributes: Readonly<Record<string, string>>;
}

/** A collector that takes OTLP over HTTP in protobuf and keeps what comes. */
export interface Collector extends AsyncDisposable {
  readonly url: string;
  readonly spans: readonly CollectedSpan[];
}

interface KeyValue {
  readonly key: string;
  readonly value?: { readonly stringValue?: string } | null;
}

/** The part that is looked at of what the OpenTelemetry protocol calls ExportTraceServiceRequest. */
interface TraceRequest {
  readonly resourceSpans: readonly {
    readonly resource?: { readonly attributes: readonly KeyValue[] } | null;
    readonly scopeSpans: readonly { readonly spans: readonly WireSpan[] }[];
  }[];
}

interface WireSpan {
  readonly name: string;
  readonly traceId: Uint8Array;
  readonly spanId: Uint8Array;
  readonly parentSpanId?: Uint8Array;
  readonly status?: { readonly code?: number } | null;
  readonly attributes: readonly KeyValue[];
}

/** The codec as the makers of the protocol generated it; it comes without types. */
const messages = createRequire(import.meta.url)("otlp-messages/build/src/generated/root.js") as {
  opentelemetry: {
    proto: { collector: { trace: { v1: { ExportTraceServiceRequest: { decode(bytes: Uint8Array): TraceRequest } } } } };
  };
};
const Request = messages.opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;

function hex(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString("hex");
}

function spansOf(body: Uint8Array): CollectedSpan[] {
  return Request.decode(body).resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = resource?.attributes.find(({ key }) => key === "service.name")?.value?.stringValue ?? "";
    return scopeSpans.flatMap(({ spans }) =>
      spans.map(({ name, traceId, spanId, parentSpanId, status, attributes }) => ({
        service,
        name,
        traceId: hex(traceId),
        spanId: hex(spanId),
        parentSpanId: hex(parentSpanId),
        error: status?.code === STATUS_ERROR,
        attributes: Object.fromEntries(attributes.map(({ key, value }) => [key, value?.stringValue ?? ""])),
      })),
    );
  });
}

async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** @param address where it listens; port 0 lets the system choose */
export async function startCollector(address = "127.0.0.1", port = 0): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const server = createServer((request, response) => {
    void bytesOf(request).then((body) => {
      const right = request.url === "/v1/traces" && request.headers["content-type"] === "application/x-protobuf";
      if (right) spans.push(...spansOf(body));
      response.writeHead(right ? 200 : 400, { "content-type": "application/x-protobuf" }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(port, address, resolve));
  const bound = server.address() as AddressInfo;
  return {
    url: `http://${address}:${bound.port}`,
    spans,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => void server.close(() => resolve()));
    },
  };
}

/** What a process shows to Prometheus. */
export async function scrape(url: string): Promise<string> {
  const response = await fetch(url);
  if (response.status !== 200) throw new Error(`${url} answers ${response.status}`);
  return response.text();
}

/** Names of metrics in a scrape, by their TYPE lines, with the names of their labels. */
export function metricsIn(scraped: string): Map<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>();
  for (const [, name = ""] of scraped.matchAll(/^# TYPE (\S+) /gm)) found.set(name, new Set());
  for (const [, sample = "", labels = ""] of scraped.matchAll(/^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? /gm)) {
    const name = found.has(sample) ? sample : sample.replace(/_(bucket|sum|count)$/, "");
    const names = found.get(name);
    if (!names) throw new Error(`${sample} has no TYPE line`);
    for (const [, label = ""] of labels.matchAll(/([a-zA-Z_]\w*)="/g)) if (label !== "le") names.add(label);
  }
  return found;
}
