import { createContextKey } from "@connectrpc/connect";
import type { ServiceName } from "../caller/index.ts";

/** The other end of a call as the transport knows it. Headers have no say in it. */
export type Peer =
  /** A service of this process, named by the composer. */
  | { readonly kind: "local"; readonly service: ServiceName }
  | {
      readonly kind: "tls";
      readonly address: string;
      /** What the peer sent, DER, leaf first; empty without a client certificate. Possession of the key is proven by TLS. */
      readonly chain: readonly Uint8Array[];
    };

export const peerKey = createContextKey<Peer | undefined>(undefined, { description: "cloudvlan peer" });

/** Id of the call, set by the outermost interceptor; a service's own id replaces it once the service is known. */
export const requestIdKey = createContextKey<string>("", { description: "cloudvlan request id" });
