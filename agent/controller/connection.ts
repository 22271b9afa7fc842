import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { type Connection, connectTo } from "@cloudvlan/kit/client";
import type { TlsIdentity } from "../certificate/identity.ts";
import type { Cell } from "../state/cell.ts";

/** The way to the control plane as this node. */
export interface Controller {
  /** A client that presents the newest certificate. */
  client<S extends DescService>(service: S): Client<S>;
}

/** A controller reached by the newest identity: when it changes, the next call goes over a new connection. */
export function controllerOf(url: string, identity: Cell<TlsIdentity>): Controller {
  let connected: { by: TlsIdentity; connection: Connection } | undefined;
  return {
    client(service) {
      const by = identity.get();
      if (connected?.by !== by) {
        const { roots, chain, keyPem } = by;
        connected?.connection.close();
        connected = { by, connection: connectTo(url, { roots, certificate: chain, key: keyPem }) };
      }
      return createClient(service, connected.connection);
    },
  };
}
