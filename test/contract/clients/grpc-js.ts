import { create, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { METHODS } from "../samples.ts";
import type { ForeignAnswer, ForeignCall, ForeignClient } from "./foreign.ts";

const plain = (bytes: Buffer): Buffer => bytes;

function methodOf({ service, method }: ForeignCall) {
  const found = METHODS.find(({ name, parent }) => name === method && parent.typeName === service);
  if (!found) throw new Error(`nobody serves ${service}.${method}`);
  return found;
}

function errorAnswer({ code, details, metadata }: ServiceError): ForeignAnswer {
  const [bin] = metadata.get("grpc-status-details-bin");
  const encoded = Buffer.isBuffer(bin) ? { "grpc-status-details-bin": bin.toString("base64") } : {};
  return { trailers: { "grpc-status": String(code), "grpc-message": encodeURIComponent(details), ...encoded } };
}

/** The gRPC of Node by another implementation. */
export function grpcJsClient(): ForeignClient {
  const clients = new Map<string, Client>();
  function clientOf({ url, roots, certificate, key }: ForeignCall): Client {
    const id = `${url} ${certificate}`;
    let client = clients.get(id);
    if (!client) {
      const [own, chain] = certificate === "" ? [null, null] : [Buffer.from(key), Buffer.from(certificate)];
      client = new Client(new URL(url).host, credentials.createSsl(Buffer.from(roots), own, chain));
      clients.set(id, client);
    }
    return client;
  }
  return {
    name: "@grpc/grpc-js",
    async call(call) {
      const method = methodOf(call);
      const path = `/${call.service}/${call.method}`;
      const body = Buffer.from(toBinary(method.input, fromJson(method.input, call.message)));
      const metadata = new Metadata();
      for (const [name, value] of Object.entries(call.headers)) metadata.set(name, value);
      const client = clientOf(call);
      const { promise, resolve } = Promise.withResolvers<ForeignAnswer>();
      const succeed = (bytes: Buffer) => resolve({ message: toJson(method.output, fromBinary(method.output, bytes)) });
      if (call.stream) {
        const stream = client.makeServerStreamRequest(path, plain, plain, body, metadata, {});
        stream.on("data", (bytes: Buffer) => {
          succeed(bytes);
          stream.cancel();
        });
        stream.on("error", (error: ServiceError) => {
          if (error.code !== status.CANCELLED) resolve(errorAnswer(error));
        });
        stream.on("end", () => resolve({ trailers: { "grpc-status": "2", "grpc-message": "no message" } }));
      } else {
        client.makeUnaryRequest(path, plain, plain, body, metadata, {}, (error, answer) => {
          if (error) resolve(errorAnswer(error));
          else succeed(answer ?? Buffer.from(toBinary(method.output, create(method.output))));
        });
      }
      return await promise;
    },
    async close() {
      for (const client of clients.values()) client.close();
    },
  };
}
