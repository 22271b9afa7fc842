import {
  create,
  createFileRegistry,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  type Message,
} from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { Refusal } from "../errors/index.ts";

const PACKAGE = "grpc.health.v1";
const STRING = { type: FieldDescriptorProto_Type.STRING, label: FieldDescriptorProto_Label.OPTIONAL };

/** `grpc/health/v1/health.proto` of the gRPC health checking protocol, as far as it is served. */
const file = create(FileDescriptorProtoSchema, {
  name: "grpc/health/v1/health.proto",
  package: PACKAGE,
  syntax: "proto3",
  messageType: [
    { name: "HealthCheckRequest", field: [{ name: "service", number: 1, ...STRING }] },
    {
      name: "HealthCheckResponse",
      field: [
        {
          name: "status",
          number: 1,
          type: FieldDescriptorProto_Type.ENUM,
          label: FieldDescriptorProto_Label.OPTIONAL,
          typeName: `.${PACKAGE}.HealthCheckResponse.ServingStatus`,
        },
      ],
      enumType: [
        {
          name: "ServingStatus",
          value: [
            { name: "UNKNOWN", number: 0 },
            { name: "SERVING", number: 1 },
            { name: "NOT_SERVING", number: 2 },
            { name: "SERVICE_UNKNOWN", number: 3 },
          ],
        },
      ],
    },
  ],
  service: [
    {
      name: "Health",
      method: [
        { name: "Check", inputType: `.${PACKAGE}.HealthCheckRequest`, outputType: `.${PACKAGE}.HealthCheckResponse` },
        {
          name: "Watch",
          inputType: `.${PACKAGE}.HealthCheckRequest`,
          outputType: `.${PACKAGE}.HealthCheckResponse`,
          serverStreaming: true,
        },
      ],
    },
  ],
});

const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the health descriptor is incomplete");
  return value;
}

export const HealthService: DescService = required(registry.getService(`${PACKAGE}.Health`));
const [check, watch] = HealthService.methods as [DescMethodUnary, DescMethodServerStreaming];
const Response: DescMessage = required(registry.getMessage(`${PACKAGE}.HealthCheckResponse`));

const SERVING = 1;
const NOT_SERVING = 2;
const SERVICE_UNKNOWN = 3;
/** Watchers at once: anybody may be one, and load balancers are few. */
const MAX_WATCHERS = 64;

/** Whether this process serves, as load balancers and probes ask. */
export interface Health {
  /** With `ending` the streams of watchers end, once they were told. */
  set(state: "serving" | "ending"): void;
  routes(router: ConnectRouter): void;
}

interface Watcher {
  wake: () => void;
}

function tooMany(): Refusal {
  return new Refusal("exhausted", "TOO_MANY_WATCHERS", `${MAX_WATCHERS} callers watch already`, {
    remedy: "ask with Check from time to time",
  });
}

/** @param services full names of the RPC services of this process; "" asks for all of it. */
export function health(services: () => ReadonlySet<string>): Health {
  let state: "starting" | "serving" | "ending" = "starting";
  const watchers = new Set<Watcher>();

  function nameOf(request: Message): string {
    return "service" in request && typeof request.service === "string" ? request.service : "";
  }
  function statusOf(name: string): number {
    if (name !== "" && !services().has(name)) return SERVICE_UNKNOWN;
    return state === "serving" ? SERVING : NOT_SERVING;
  }
  function answer(status: number): Message {
    return create(Response, { status } as Record<string, unknown>);
  }

  /** The watcher counts until its signal, which ends with its stream, however that ends. */
  function enter(signal: AbortSignal): Watcher {
    if (watchers.size >= MAX_WATCHERS) throw tooMany();
    const watcher: Watcher = { wake: () => {} };
    watchers.add(watcher);
    signal.addEventListener(
      "abort",
      () => {
        watchers.delete(watcher);
        watcher.wake();
      },
      { once: true },
    );
    return watcher;
  }

  async function* watchState(name: string, signal: AbortSignal): AsyncGenerator<Message> {
    if (signal.aborted) return;
    const watcher = enter(signal);
    while (!signal.aborted) {
      const changed = new Promise<void>((resolve) => (watcher.wake = resolve));
      yield answer(statusOf(name));
      if (state === "ending") return;
      await changed;
    }
  }

  return {
    set: (next) => {
      state = next;
      for (const { wake } of watchers) wake();
    },
    routes(router) {
      router.rpc(check, (request: Message) => {
        const status = statusOf(nameOf(request));
        if (status !== SERVICE_UNKNOWN) return answer(status);
        throw new Refusal("not_found", "SERVICE_UNKNOWN", "no such service runs here", { field: "service" });
      });
      router.rpc(watch, (request: Message, { signal }: HandlerContext) => watchState(nameOf(request), signal));
    },
  };
}
