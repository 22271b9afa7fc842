import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  ForwardDirection,
  ForwardProtocol,
  InterfaceKind,
  type PortForwardSchema,
  type SettingsSchema,
} from "@cloudvlan/gen/engine/v1/engine_pb.js";
import { type Forward, splitEndpoint } from "../userspace.ts";

/** Where packets of the overlay come from and go to on this host, and what leads into the engine's own stack. */
export interface InterfaceSettings {
  readonly kind: "tun" | "userspace" | "auto";
  readonly proxy: string | undefined;
  readonly forwards: readonly Forward[];
}

const KINDS = { tun: InterfaceKind.TUN, userspace: InterfaceKind.USERSPACE, auto: InterfaceKind.AUTO } as const;
const PROTOCOLS = { tcp: ForwardProtocol.TCP, udp: ForwardProtocol.UDP } as const;

/** The part of the engine's settings that says so. */
export function offersOf({ kind, proxy, forwards }: InterfaceSettings) {
  const listen = proxy === undefined ? undefined : splitEndpoint(proxy);
  return {
    interfaceKind: KINDS[kind],
    forwards: forwards.map(portForwardOf),
    ...(listen && { proxyListen: { address: listen.host, port: listen.port } }),
  } satisfies MessageInitShape<typeof SettingsSchema>;
}

function portForwardOf(forward: Forward): MessageInitShape<typeof PortForwardSchema> {
  const target = splitEndpoint(forward.target);
  const protocol = PROTOCOLS[forward.protocol];
  if (forward.direction === "from_overlay") {
    const listen = { host: "", port: forward.listen };
    return { direction: ForwardDirection.FROM_OVERLAY, protocol, listen, ...(target && { target }) };
  }
  const listen = splitEndpoint(forward.listen);
  return {
    direction: ForwardDirection.INTO_OVERLAY,
    protocol,
    ...(listen && { listen }),
    ...(target && { target }),
  };
}
