import { type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import { type Access, access } from "@cloudvlan/gen/options/v1/options_pb.js";

export { CHASSIS_METHODS, USES } from "./uses.ts";

/**
 * The access option of an RPC.
 * @throws Error when the RPC has none: such an RPC must not be served.
 */
export function accessOf(method: DescMethod): Access {
  if (!hasOption(method, access)) {
    throw new Error(`${method.parent.typeName}/${method.name} has no access option; say who may call it in its proto`);
  }
  return getOption(method, access);
}

/** Request path of an RPC, the same for Connect, gRPC and gRPC-Web. */
export function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}
