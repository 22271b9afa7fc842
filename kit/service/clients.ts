import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { USES } from "../access/index.ts";
import type { ServiceName } from "../caller/index.ts";
import { type Connection, connectTo } from "../client/index.ts";
import { Refusal } from "../errors/index.ts";
import type { Identity } from "./identity.ts";
import { localTransport } from "./local.ts";
import { outgoing } from "./outgoing.ts";

/** The service that owns an RPC service, by its package `cloudvlan.<service>.v<n>`. */
export function ownerOf(service: DescService): ServiceName {
  const owner = service.typeName.split(".")[1] ?? "";
  if (!Object.hasOwn(USES, owner)) throw new Error(`${service.typeName} belongs to no service of the control plane`);
  return owner as ServiceName;
}

export interface ClientsOptions {
  /** Services of this process. */
  readonly local: ReadonlySet<ServiceName>;
  /** Handlers of a local service; undefined until it is built. */
  handlers(service: ServiceName): readonly UniversalHandler[] | undefined;
  /** Base URLs of the others. */
  readonly endpoints: Readonly<Partial<Record<ServiceName, string>>>;
  /** Identity with which a local service calls others; another object once it is renewed. */
  identity(service: ServiceName): Identity;
}

/** Makes the clients by which services reach one another. */
export interface Clients extends Disposable {
  client<S extends DescService>(caller: ServiceName, service: S): Client<S>;
}

export function clients(options: ClientsOptions): Clients {
  const local = new Map<string, Transport>();
  const remote = new Map<string, { readonly identity: Identity; readonly connection: Connection }>();

  function toLocal(caller: ServiceName, owner: ServiceName): Transport {
    const handlers = options.handlers(owner);
    if (!handlers) {
      throw new Refusal("unavailable", "NOT_STARTED", `${owner} has not started yet`, { remedy: "try again" });
    }
    const key = `${caller} ${owner}`;
    let transport = local.get(key);
    if (!transport) local.set(key, (transport = localTransport(caller, handlers)));
    return transport;
  }

  function toRemote(caller: ServiceName, url: string): Transport {
    const identity = options.identity(caller);
    const key = `${caller} ${url}`;
    const open = remote.get(key);
    if (open?.identity === identity) return open.connection;
    const connection = connectTo(url, { roots: identity.roots, certificate: identity.chain, key: identity.key });
    // The former connection ends by itself when its last call does.
    remote.set(key, { identity, connection });
    return connection;
  }

  return {
    client(caller, service) {
      const owner = ownerOf(service);
      const url = options.endpoints[owner];
      const here = options.local.has(owner);
      if (!here && url === undefined) throw new Error(`${owner} is neither here nor elsewhere`);
      const reach = (): Transport => (url === undefined ? toLocal(caller, owner) : toRemote(caller, url));
      return createClient(service, outgoing(reach));
    },
    [Symbol.dispose]() {
      for (const { connection } of remote.values()) connection.close();
    },
  };
}
